// Version 2 cannot be had everywhere that version 1 can; it finds the same links.
import relScraper from "rel-parser-1";

export const relParser = relScraper;

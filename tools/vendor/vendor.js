import "@github/markdown-toolbar-element";

export { default as Combobox } from "@github/combobox-nav";

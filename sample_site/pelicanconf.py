"""Settings of Maren's site. Paths are relative to this file: Pelican resolves them itself."""

import os

AUTHOR = "Maren Vidal"
SITENAME = "Maren Vidal"
SITESUBTITLE = "Notes from a bookbindery between a lake and the mountains"
SITEURL = os.environ.get("SITE_URL", "http://localhost:8000").rstrip("/")
TIMEZONE = "Europe/Paris"
DEFAULT_LANG = "en"
LOCALE = ("en_GB.UTF-8", "en_US.UTF-8", "C.UTF-8", "C")

PATH = "content"
OUTPUT_PATH = "output"
DELETE_OUTPUT_DIRECTORY = False
STATIC_PATHS = ["media", "images"]
PAGE_PATHS = ["pages"]
ARTICLE_EXCLUDES = ["media", "images"]  # an upload is a file to serve, never a post to read

PLUGINS = ["pelican_indieauth"]
INDIEAUTH_BRIDGE = os.environ.get("INDIEAUTH_BRIDGE", "")
INDIEAUTH_PHOTO = "/images/maren.png"
INDIEAUTH_MARKUP = False  # the theme marks up its posts itself

# A post dated in the future is a scheduled one: not listed until a build after its time.
WITH_FUTURE_DATES = False

# Where things live: every page is a folder, so that no address ends in ".html".
ARTICLE_URL = ARTICLE_LANG_URL = "{category}/{date:%Y}/{date:%m}/{slug}/"
ARTICLE_SAVE_AS = ARTICLE_LANG_SAVE_AS = ARTICLE_URL + "index.html"
DRAFT_URL = DRAFT_LANG_URL = "drafts/{slug}/"
DRAFT_SAVE_AS = DRAFT_LANG_SAVE_AS = DRAFT_URL + "index.html"
PAGE_URL = PAGE_LANG_URL = "{slug}/"
PAGE_SAVE_AS = PAGE_LANG_SAVE_AS = PAGE_URL + "index.html"
CATEGORY_URL = "{slug}/"
CATEGORY_SAVE_AS = CATEGORY_URL + "index.html"
TAG_URL = "tags/{slug}/"
TAG_SAVE_AS = TAG_URL + "index.html"
INDEX_URL = ""
TAGS_URL = "tags/"
TAGS_SAVE_AS = TAGS_URL + "index.html"
ARCHIVES_URL = "archives/"
ARCHIVES_SAVE_AS = ARCHIVES_URL + "index.html"
YEAR_ARCHIVE_URL = "archives/{date:%Y}/"
YEAR_ARCHIVE_SAVE_AS = YEAR_ARCHIVE_URL + "index.html"
AUTHOR_SAVE_AS = ""  # one author: the home page is about her
DIRECT_TEMPLATES = ["index", "archives", "tags", "404"]

# A post in a category called "about" must not take the place of the page, and a tag of emoji
# alone needs some address, too.
SLUG_REGEX_SUBSTITUTIONS = [
    (r"[^\w\s-]", ""),
    (r"(?u)\A\s*", ""),
    (r"(?u)\s*\Z", ""),
    (r"[-\s]+", "-"),
]
CATEGORY_REGEX_SUBSTITUTIONS = [
    *SLUG_REGEX_SUBSTITUTIONS,
    (r"^(about|archives|drafts|images|media|tags|theme)$", r"\1-posts"),
    (r"^$", "other"),
]
TAG_REGEX_SUBSTITUTIONS = [*SLUG_REGEX_SUBSTITUTIONS, (r"^$", "other")]

# Pages two and on of any list get a folder, which no tag or category can be mistaken for.
DEFAULT_PAGINATION = 10
DEFAULT_ORPHANS = 2
PAGINATION_PATTERNS = [
    (1, "{url}", "{save_as}"),
    (2, "{base_name}/page/{number}/", "{base_name}/page/{number}/index.html"),
]

FEED_ALL_ATOM = "feed.xml"
CATEGORY_FEED_ATOM = "{slug}/feed.xml"
AUTHOR_FEED_ATOM = None
AUTHOR_FEED_RSS = None
TRANSLATION_FEED_ATOM = None
FEED_MAX_ITEMS = 30

DEFAULT_METADATA = {"status": "published"}
USE_FOLDER_AS_CATEGORY = False
DEFAULT_CATEGORY = "notes"
SUMMARY_MAX_LENGTH = 40

# What the theme shows of the author (an h-card) and in the menu.
THEME = "theme"
AUTHOR_NOTE = "Bookbinder in Annecy. Paper, lakes, slow trains and a web that people own."
AUTHOR_LOCALITY = "Annecy"
AUTHOR_COUNTRY = "France"
AUTHOR_EMAIL = "maren@maren.example"
AUTHOR_ELSEWHERE = [
    ("social.example", "https://social.example/@maren"),
    ("code.example", "https://code.example/maren"),
]
CATEGORY_NAMES = {"checkins": "Check-ins", "rsvps": "RSVPs"}
MENU_CATEGORIES = ["articles", "notes", "photos", "bookmarks"]

// What the page holds, and how often it asks. All of it is bounded here.

/** Rows of a table that are drawn; more of them when asked for, so many at a time. */
export const ROWS_DRAWN = 200;
/** Columns of a table that may be chosen from. */
export const COLUMNS_MAX = 256;
/** Columns that are shown before anybody has chosen. */
export const COLUMNS_FIRST = 9;
/** Characters of a value in a cell, and of the whole of it where it is pointed at. */
export const CELL_CHARS = 48;
export const WHOLE_CHARS = 2000;
/** Zones that are open in the tree: the agent follows at most 32 at a time. */
export const ZONES_OPEN = 30;
/** Zones of which is kept what was known. */
export const ZONES_HELD = 64;
/** Children that are drawn of a zone in the tree. */
export const CHILDREN_DRAWN = 256;
/** Columns with a chart. */
export const CHARTS = 6;
/** Between two points of a chart, how many of them are kept, and of how many zones. */
export const SAMPLE_MS = 2000;
export const SAMPLES = 900;
export const ZONES_KEPT = 8;
/** Children that have a line of their own; of more there is a band. */
export const LINES = 8;
/** Functions that are asked for while they are shown, every so often. */
export const FUNCTIONS_MS = 2000;
/** Components that are drawn, and how often they are asked for while they are seen. */
export const COMPONENTS_DRAWN = 32;
export const HEALTH_MS = 2000;
/** Tries again after so long, then after twice as long, and so on. */
export const RETRY_MS = 1000;
export const RETRY_MAX_MS = 15000;
/** An answer that takes longer does not come. Of streams: something is heard every 15 s. */
export const PATIENCE_MS = 20000;
export const SILENCE_MS = 40000;
/** Characters of an answer or of one event; the agent's are a fraction of it. */
export const ANSWER_CHARS = 32 << 20;
/** How long all agents have to answer a question that is asked everywhere. */
export const EVERYWHERE_MS = 15000;
/** Zones whose columns are remembered. */
export const REMEMBERED = 64;

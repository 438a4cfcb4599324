// A word of its own file, so that main.ts need not load the C library to know it.

/** The first word of the executable's arguments when it is to become another program (restrained-exec.ts). */
export const RESTRAINED_WORD = "restrained-exec";

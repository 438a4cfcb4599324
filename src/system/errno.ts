// System errors in words. "ENOENT" says nothing to many who have to mend it at night; the name stays behind the words, for
// those who search for it.

import { getSystemErrorMap } from "node:util";

/** `permission denied (EACCES)`; a name that is none of the system's comes back as it is. */
export function errnoText(code: string): string {
  for (const [name, words] of getSystemErrorMap().values()) if (name === code) return `${words} (${code})`;
  return code;
}

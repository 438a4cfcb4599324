// Which elements make an image, and what they are told.

import { join } from "node:path";
import type { ImageOptions } from "./options.ts";

export const AGENT_ELEMENT = "ironic-agent-ramdisk";

/** What ironic-python-agent-builder calls them. */
const ALIASES: Readonly<Record<string, string>> = {
  "ironic-python-agent-ramdisk": AGENT_ELEMENT,
  "ironic-python-agent-tls": "ironic-agent-tls",
  "extra-hardware": "ironic-agent-extra-hardware",
};

/** In the order of disk-image-create, without repetition. */
export function elementsOf({ distribution, elements }: ImageOptions): string[] {
  const further = elements.map((element) => ALIASES[element] ?? element);
  return [...new Set([AGENT_ELEMENT, ...distribution.elements, ...further])];
}

/** Variables for diskimage-builder; what the user has set himself counts. */
export function environmentOf(
  options: ImageOptions,
  settings: {
    agent: string;
    elementsPath: readonly string[];
    mirror: string | null;
    /** Where downloads are kept for the next build. */
    cache: string;
    environment: Readonly<Record<string, string | undefined>>;
  },
): Record<string, string> {
  const { distribution, lzma, release } = options;
  const defaults: Record<string, string> = {
    ...distribution.environment(settings.mirror),
    DIB_IMAGE_CACHE: join(settings.cache, "dib"),
    DIB_LOCKFILES: join(settings.cache, "locks"),
    ...(lzma ? { DIB_IPA_COMPRESS_CMD: "xz --format=lzma --compress --stdout" } : {}),
  };
  const unset = Object.entries(defaults).filter(([name]) => (settings.environment[name] ?? "") === "");
  return {
    ...Object.fromEntries(unset),
    DIB_RELEASE: release,
    DIB_IRONIC_AGENT_BINARY: settings.agent,
    ELEMENTS_PATH: settings.elementsPath.join(":"),
    // diskimage-builder is Debian's, and so must be its Python.
    PATH: "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
  };
}

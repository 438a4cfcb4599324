// What each distribution is called in diskimage-builder, and what its elements have to be told.

export interface Distribution {
  name: string;
  /** Elements that make it. */
  elements: readonly string[];
  release: string;
  /** Variables for its elements: where packages come from, if it was said. */
  environment(mirror: string | null): Record<string, string>;
  /** Keys that its packages are verified with, if debootstrap gets them; without the file it would only warn. */
  keyring: string | null;
  /** A file that a mirror of it must have, below the mirror's address; null if it cannot be told. */
  probe(release: string): string | null;
}

export const DISTRIBUTIONS: readonly Distribution[] = [
  {
    name: "debian",
    elements: ["debian-minimal"],
    release: "bookworm",
    environment: (mirror) => ({
      // What the element assumes was true until Debian 10.
      DIB_DEBIAN_SECURITY_SUBPATH: "-security",
      ...(mirror === null
        ? {}
        : {
            DIB_DISTRIBUTION_MIRROR: mirror,
            // Where Debian's own network and its mirrors have it: beside the archive.
            DIB_DEBIAN_SECURITY_MIRROR: mirror.replace(/\/debian$/, "/debian-security"),
          }),
    }),
    keyring: "/usr/share/keyrings/debian-archive-keyring.gpg",
    probe: (release) => `dists/${release}/InRelease`,
  },
  {
    name: "ubuntu",
    elements: ["ubuntu-minimal"],
    release: "jammy",
    environment: (mirror) => (mirror === null ? {} : { DIB_DISTRIBUTION_MIRROR: mirror }),
    keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    probe: (release) => `dists/${release}/InRelease`,
  },
  {
    name: "centos",
    // EPEL has systemd-networkd.
    elements: ["centos-minimal", "epel"],
    release: "9-stream",
    environment: (mirror) => (mirror === null ? {} : { DIB_DISTRIBUTION_MIRROR: mirror }),
    keyring: null,
    probe: () => null,
  },
  {
    name: "fedora",
    elements: ["fedora-container"],
    release: "39",
    environment: (mirror) => (mirror === null ? {} : { DIB_DISTRIBUTION_MIRROR: mirror }),
    keyring: null,
    probe: () => null,
  },
];

/** By its name, or by the name of its element, as ironic-python-agent-builder wants it; null if there is none. */
export function distributionNamed(name: string): Distribution | null {
  return DISTRIBUTIONS.find((known) => known.name === name || known.elements[0] === name) ?? null;
}

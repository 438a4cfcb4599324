// Runs a script in a network namespace of its own, where it may make interfaces as it likes; the kernel removes all of it with
// the script. Its /sys shows that namespace.

/** Why that cannot be done here; null if it can. */
export const noNetworkNamespace: string | null =
  process.getuid?.() !== 0
    ? "needs root"
    : Bun.which("unshare") === null || Bun.which("ip") === null
      ? "needs unshare and ip"
      : null;

/** What the script printed, as JSON. @throws Error with what it wrote to standard error when it fails */
export async function inNetworkNamespace(script: string, ...words: string[]): Promise<unknown> {
  const inside = 'mount -t sysfs sysfs /sys && exec "$0" "$@"';
  const child = Bun.spawn(
    ["unshare", "--net", "--mount", "sh", "-c", inside, process.execPath, script, ...words],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${script} ${words.join(" ")}: ${errors}`);
  return JSON.parse(output);
}

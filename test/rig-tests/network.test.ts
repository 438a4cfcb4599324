// Namespaces are made for real, by small programs that enter one.

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cleanupStale } from "../rig/namespace.ts";
import { parseLeases } from "../rig/network.ts";
import { isAlive, run } from "../rig/programs.ts";

const NAMESPACE = JSON.stringify(join(import.meta.dir, "../rig/namespace.ts"));

/** Whether namespaces can be made here: root and ip(8). */
const possible = process.getuid?.() === 0 && Bun.which("ip") !== null;

async function withProgram(code: string, body: (program: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "namespace-test-"));
  try {
    const program = join(directory, "program.ts");
    await Bun.write(program, `import { enterNamespace, outsideNamespace } from ${NAMESPACE};\n${code}`);
    await body(program);
  } finally {
    await rm(directory, { recursive: true });
  }
}

function startProgram(program: string, ...args: string[]) {
  return Bun.spawn([process.execPath, program, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
}

/** The program's first line, which names its namespace. */
async function firstLine(child: { stdout: ReadableStream<Uint8Array> }): Promise<string> {
  const { value } = await child.stdout.getReader().read();
  return new TextDecoder().decode(value).trim();
}

test.skipIf(!possible)("a program runs inside with its arguments, and its exit code comes out", () =>
  withProgram(
    `const name = await enterNamespace();
     const links = Bun.spawnSync(["ip", "-brief", "link"]).stdout.toString().trim().split("\\n").length;
     console.log(name, links, process.argv.slice(2).join("+"));
     process.exit(7);`,
    async (program) => {
      const child = startProgram(program, "one", "two words");
      const [name = "", links, ...args] = (await child.stdout.text()).trim().split(" ");
      expect(await child.exited).toBe(7);
      expect(links).toBe("1");
      expect(args.join(" ")).toBe("one+two words");
      expect(name).toStartWith("ironic-rig-");
      expect(existsSync(`/run/netns/${name}`)).toBe(false);
    },
  ),
);

test.skipIf(!possible)("SIGTERM reaches the program inside, and what it left behind there is ended", () =>
  withProgram(
    `const name = await enterNamespace();
     const left = Bun.spawn(["sleep", "600"]).pid;
     process.on("SIGTERM", () => process.exit(42));
     console.log(name, left);
     await Bun.sleep(600_000);`,
    async (program) => {
      const child = startProgram(program);
      const [name, left] = (await firstLine(child)).split(" ");
      child.kill("SIGTERM");
      expect(await child.exited).toBe(42);
      expect(existsSync(`/run/netns/${name}`)).toBe(false);
      while (isAlive(Number(left))) await Bun.sleep(10);
    },
  ),
);

test.skipIf(!possible)("Ctrl-C on a terminal reaches the program inside, which ends as it likes", () =>
  withProgram(
    `const name = await enterNamespace();
     process.on("SIGINT", () => process.exit(130));
     console.log(name);
     await Bun.sleep(600_000);`,
    async (program) => {
      const named = Promise.withResolvers<string>();
      let output = "";
      const child = Bun.spawn([process.execPath, program], {
        terminal: {
          data: (_, data) => {
            output += new TextDecoder().decode(data);
            const name = /ironic-rig-\S+/.exec(output)?.[0];
            if (name !== undefined && output.includes("\n")) named.resolve(name);
          },
        },
      });
      const name = await named.promise;
      child.terminal!.write("\x03");
      expect(await child.exited).toBe(130);
      child.terminal!.close();
      expect(existsSync(`/run/netns/${name}`)).toBe(false);
    },
  ),
);

test.skipIf(!possible)("what a killed run leaves is removed by the next, what a living one uses is not", () =>
  withProgram(
    `console.log(await enterNamespace(), process.pid);
     await Bun.sleep(600_000);`,
    async (program) => {
      const living = startProgram(program);
      const killed = startProgram(program);
      const [livingName] = (await firstLine(living)).split(" ");
      const [killedName = "", inner] = (await firstLine(killed)).split(" ");
      killed.kill("SIGKILL");
      await killed.exited;
      while (isAlive(Number(inner))) await Bun.sleep(10);
      // Another test program may have been quicker.
      await cleanupStale();
      expect(existsSync(`/run/netns/${killedName}`)).toBe(false);
      expect(existsSync(`/run/netns/${livingName}`)).toBe(true);
      living.kill("SIGTERM");
      await living.exited;
    },
  ),
);

test.skipIf(!possible)("a command can be run in the outer network from inside", () =>
  withProgram(
    `await enterNamespace();
     const count = (argv: string[]) => Bun.spawnSync(argv).stdout.toString().trim();
     console.log(count(["readlink", "/proc/self/ns/net"]), count(outsideNamespace(["readlink", "/proc/self/ns/net"])));`,
    async (program) => {
      const [inside, outside] = (await startProgram(program).stdout.text()).trim().split(" ");
      const { stdout } = await run(["readlink", "/proc/self/ns/net"]);
      expect(outside).toBe(stdout.trim());
      expect(inside).not.toBe(outside);
    },
  ),
);

test("leases are read as dnsmasq writes them", () => {
  // Recorded from dnsmasq 2.90 with a client that sent no name and one that did.
  const text = `1795403366 52:54:00:00:00:02 192.0.2.157 * 01:52:54:00:00:00:02
1795403366 52:54:00:00:00:01 192.0.2.156 node-1 01:52:54:00:00:00:01
duid 00:01:00:01:2e:c5:aa:bb:52:54:00:00:00:01
`;
  expect(parseLeases(text)).toEqual([
    { mac: "52:54:00:00:00:02", address: "192.0.2.157", hostname: "" },
    { mac: "52:54:00:00:00:01", address: "192.0.2.156", hostname: "node-1" },
  ]);
  expect(parseLeases("")).toEqual([]);
});

// The compiled executable as a process of a test: in a home of its own, on loopback, with nothing allowed that the host guard forbids.

import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { freePort } from "./test-machine.ts";

export const BINARY = `${import.meta.dir}/../../dist/ironic-python-agent-linux-${process.arch}`;

export type AgentProcess = AsyncDisposable & {
  readonly port: number;
  readonly exited: Promise<number>;
  /** Standard output and standard error so far. */
  log(): string;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number>;
};

export type ProcessOptions = {
  /** The address to say to Ironic; null leaves that to the agent. */
  readonly advertised?: string | null;
  /** Words in front of the executable, e.g. those of `unshare`. */
  readonly inside?: readonly string[];
};

/** Starts it; it listens on 127.0.0.1 and says so to Ironic. Does not wait for anything. */
export function startAgentProcess(...options: string[]): Promise<AgentProcess> {
  return spawnAgentProcess({}, ...options);
}

/** The same, with more to choose. */
export async function spawnAgentProcess(
  { advertised = "127.0.0.1", inside = [] }: ProcessOptions,
  ...options: string[]
): Promise<AgentProcess> {
  if (!existsSync(BINARY))
    throw new Error(`${BINARY} is missing: run "bun run build.ts" first, or "npm test"`);
  const home = await mkdtemp(`${tmpdir()}/agent-process-`);
  const port = await freePort();
  const address = ["--listen_host", "127.0.0.1", "--listen_port", String(port)];
  const told = [
    "--advertise_port",
    String(port),
    ...(advertised === null ? [] : ["--advertise_host", advertised]),
  ];
  const child = Bun.spawn([...inside, BINARY, ...address, ...told, "--debug", ...options], {
    env: { PATH: process.env.PATH, HOME: home },
    cwd: home,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let log = "";
  const follow = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) log += decoder.decode(chunk, { stream: true });
  };
  const read = Promise.all([follow(child.stdout), follow(child.stderr)]);
  const exited = child.exited.then(async (code) => {
    await read;
    return code;
  });
  const stop = () => {
    child.kill("SIGTERM");
    return exited;
  };
  return {
    port,
    exited,
    log: () => log,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Hardware addresses of this machine's cards, by which an agent on it is looked up. */
export async function machineMacs(): Promise<[string, ...string[]]> {
  const names = await readdir("/sys/class/net");
  const cards = names.filter((name) => existsSync(`/sys/class/net/${name}/device`));
  const found = await Promise.all(cards.map((name) => readFile(`/sys/class/net/${name}/address`, "utf8")));
  const [first, ...more] = found.map((mac) => mac.trim());
  if (first === undefined) throw new Error("this machine has no network card to be looked up by");
  return [first, ...more];
}

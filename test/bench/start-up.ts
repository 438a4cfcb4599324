// Start of the process to a served /v1/status, resident memory when idle, requests per second, and the inventory:
// all of the compiled binary, in standalone mode, on loopback.

import { mebibytes, median, type Row, residentMemory, seconds } from "./measure.ts";

const RUNS = 9;
const IDLE_SECONDS = 2;

export async function startUp(binary: string): Promise<Row[]> {
  const times: number[] = [];
  let memory = 0;
  for (let run = 0; run < RUNS; run++) {
    const port = freePort();
    const started = performance.now();
    const agent = standaloneAgent(binary, port);
    await served(port, agent);
    times.push((performance.now() - started) / 1000);
    if (run === RUNS - 1) {
      await Bun.sleep(IDLE_SECONDS * 1000);
      memory = await residentMemory(agent.pid, "VmRSS");
    }
    agent.kill("SIGTERM");
    await agent.exited;
  }
  return [
    {
      what: "start to a served /v1/status",
      ours: seconds(median(times)),
      reference: "1.1–1.4 s",
      ratio: "",
      goal: "< 0.15 s",
    },
    {
      what: "resident memory, idle",
      ours: mebibytes(memory),
      reference: "81 MiB",
      ratio: "",
      goal: "< 60 MiB",
    },
  ];
}

export async function inventory(binary: string): Promise<Row[]> {
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now();
    const child = Bun.spawn([binary, "inventory"], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    JSON.parse(await new Response(child.stdout).text());
    times.push((performance.now() - started) / 1000);
  }
  return [
    { what: "inventory", ours: seconds(median(times)), reference: "1.25 s", ratio: "", goal: "< 0.4 s" },
  ];
}

/** The agent, listening on loopback, with its log thrown away. */
export function standaloneAgent(binary: string, port: number): Bun.Subprocess {
  const address = ["--listen_host", "127.0.0.1", "--listen_port", String(port)];
  return Bun.spawn([binary, "--standalone", "--disk_wait_attempts", "0", ...address], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
}

export function freePort(): number {
  const probe = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const { port } = probe;
  probe.stop(true);
  if (port === undefined) throw new Error("no free port");
  return port;
}

export async function served(port: number, agent: Bun.Subprocess): Promise<void> {
  for (;;) {
    if (agent.exitCode !== null) throw new Error(`the agent ended with exit code ${agent.exitCode}`);
    // Refused until it listens; that is what is being measured.
    const answer = await fetch(`http://127.0.0.1:${port}/v1/status`).catch(() => null);
    if (answer?.status === 200) return;
    await Bun.sleep(1);
  }
}

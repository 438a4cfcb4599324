// hardware 13.90, with the real fio in a network namespace.

import { describe, expect, test } from "bun:test";
import { CleaningError, CommandExecutionError } from "../../../src/errors.ts";
import type { Json, JsonObject } from "../../../src/json.ts";
import { burnInNetwork } from "../../../src/steps/burn-in/network.ts";
import type { System } from "../../../src/system/system.ts";
import { tool } from "../../support/loop-device.ts";
import { noNetworkNamespace } from "../../support/network-namespace.ts";
import { type RecordedProgram, recordedSystem } from "../../support/recorded-system.ts";
import { rejection, thrower } from "../../support/rejection.ts";
import { burnInContext, missing, realSystem } from "./support.ts";

const COMMON =
  "fio --ioengine net --port 9000 --fill_device 1 --group_reporting --gtod_reduce 1 --numjobs 16";

function burnIn(config: Json, others: JsonObject = {}, fio: RecordedProgram = {}) {
  const system = recordedSystem({ programs: { fio } });
  const context = burnInContext(system, { agent_burnin_fio_network_config: config, ...others });
  return {
    system,
    context,
    ended: burnInNetwork(context),
    lines: () => system.calls.map((argv) => argv.join(" ")),
  };
}

test("each side has both roles, its own first", async () => {
  const writing = `${COMMON} --name writer --rw write --runtime 21600 --time_based --listen`;
  const reading = `${COMMON} --name reader --rw read --hostname node-b`;
  const writer = burnIn({ role: "writer", partner: "node-b" });
  expect(await writer.ended).toBeNull();
  expect(writer.lines()).toEqual([writing, reading]);
  expect(writer.context.reports.map(({ phase }) => phase)).toContain("sending to node-b (1 of 2)");
  const reader = burnIn({ role: "reader", partner: "node-b" });
  await reader.ended;
  expect(reader.lines()).toEqual([reading, writing]);
});

test("every setting has its place", async () => {
  const { ended, lines } = burnIn('{"role": "writer", "partner": "192.0.2.7"}', {
    agent_burnin_fio_network_runtime: "10m",
    agent_burnin_fio_network_outputfile: "/var/log/burnin.network",
  });
  await ended;
  const output = "--output-format json --output /var/log/burnin.network";
  expect(lines()).toEqual([
    `${COMMON} --name writer --rw write --runtime 10m --time_based --listen ${output}.writer`,
    `${COMMON} --name reader --rw read --hostname 192.0.2.7 ${output}.reader`,
  ]);
});

test("a reader tries again while nobody answers; a writer, and any other failure, does not", async () => {
  const partner = { role: "reader", partner: "node-b" };
  let tries = 0;
  const late = burnIn(partner, {}, (argv) => {
    if (argv.includes("--listen")) return {};
    tries += 1;
    return { exitCode: tries < 4 ? 16 : 0, stderr: "fio: connect: Connection refused" };
  });
  await late.ended;
  expect(tries).toBe(4);
  expect(late.system.sleeps.filter((seconds) => seconds === 30)).toHaveLength(3);

  for (const [config, exitCode] of [
    [partner, 1],
    [{ ...partner, role: "writer" }, 16],
  ] as const) {
    const failed = burnIn(config, {}, { exitCode });
    expect(await rejection(failed.ended)).toBeInstanceOf(CommandExecutionError);
    expect(failed.lines()).toHaveLength(1);
  }
});

/** What fio 3.33 printed for each of the jobs that came before their counterpart listened. */
const REFUSED = "fio: pid=5412, err=111/file:engines/net.c:800, func=connect, error=Connection refused\n";

describe("a reader that comes while its partner is only just starting", () => {
  const config = { role: "reader", partner: "node-b" };
  const reads = (answers: { exitCode: number; stdout?: string; stderr?: string }[]): RecordedProgram => {
    return (argv) => (argv.includes("--listen") ? {} : (answers.shift() ?? { exitCode: 1 }));
  };

  test("comes again for the connections that did not stand, and is done when all did", async () => {
    const partly = [
      { exitCode: 9, stdout: REFUSED.repeat(9) },
      { exitCode: 7, stdout: REFUSED.repeat(7) },
    ];
    const { ended, lines, system } = burnIn(config, {}, reads(partly));
    expect(await ended).toBeNull();
    expect(lines()).toHaveLength(3);
    expect(system.sleeps).toContain(30);
  });

  test("does not mistake a broken transfer for that", async () => {
    for (const broken of [
      { exitCode: 9, stdout: REFUSED.repeat(8) },
      {
        exitCode: 9,
        stderr: "fio: pid=1, err=104/file:engines/net.c, func=xfer, error=Connection reset by peer",
      },
    ])
      expect(await rejection(burnIn(config, {}, reads([broken])).ended)).toBeInstanceOf(
        CommandExecutionError,
      );
  });

  test("finds fio's messages in the output file, where there is one", async () => {
    const file = "/var/log/burn-in.reader";
    const answers = [{ exitCode: 9 }, { exitCode: 0 }];
    const system = recordedSystem({
      programs: { fio: reads(answers) },
      files: { [file]: `${REFUSED.repeat(9)}{}` },
    });
    const settings = {
      agent_burnin_fio_network_config: config,
      agent_burnin_fio_network_outputfile: "/var/log/burn-in",
    };
    expect(await burnInNetwork(burnInContext(system, settings))).toBeNull();
  });
});

test("waiting for a partner that never comes ends when the step is aborted", async () => {
  const stop = new AbortController();
  const system = recordedSystem({ programs: { fio: { exitCode: 16 } } });
  const sleep = system.clock.sleep.bind(system.clock);
  system.clock.sleep = async (seconds, signal) => {
    if (system.calls.length === 5) stop.abort(new Error("the agent is to end"));
    await sleep(seconds, signal);
  };
  const context = burnInContext(
    system,
    { agent_burnin_fio_network_config: { role: "reader", partner: "b" } },
    { signal: stop.signal },
  );
  expect(await thrower(burnInNetwork(context))).toThrow("the agent is to end");
});

test("a configuration that names no partner or role is refused, and pairing by a service is not there", async () => {
  const wrong: [Json, string][] = [
    [null, "does not know its partner: set driver_info/agent_burnin_fio_network_config"],
    [{ partner: "b" }, '"role" must be "writer" or "reader", not null'],
    [{ role: "both", partner: "b" }, '"role" must be "writer" or "reader", not "both"'],
    [{ role: "writer" }, '"partner" must be'],
    [{ role: "writer", partner: "" }, '"partner" must be'],
    [{ role: "reader", partner: "--exec_prerun=reboot" }, '"partner" must be'],
    ["writer", "must be an object"],
  ];
  for (const [config, message] of wrong) {
    const { ended, lines } = burnIn(config);
    expect(await rejection(ended)).toBeInstanceOf(CleaningError);
    expect(await thrower(ended)).toThrow(message);
    expect(lines()).toEqual([]);
  }
  const pairing = burnIn(null, { agent_burnin_fio_network_pairing_backend_url: "zookeeper://z:2181" });
  expect(await rejection(pairing.ended)).toBeInstanceOf(CleaningError);
  expect(await thrower(pairing.ended)).toThrow("coordination service is not supported");
});

describe.skipIf(noNetworkNamespace !== null || missing("fio") !== null)("the real fio", () => {
  test("two sides that start at different times find each other, twice", async () => {
    const namespace = `burn-in-${process.pid}`;
    await tool("ip", "netns", "add", namespace);
    try {
      await tool("ip", "-n", namespace, "link", "set", "lo", "up");
      const side = (role: string) => {
        const system = inside(namespace);
        const context = burnInContext(system, {
          agent_burnin_fio_network_runtime: 1,
          agent_burnin_fio_network_config: { role, partner: "127.0.0.1" },
        });
        return burnInNetwork(context);
      };
      expect(await Promise.all([side("reader"), side("writer")])).toEqual([null, null]);
    } finally {
      await tool("ip", "netns", "delete", namespace);
    }
  }, 60_000);
});

/** This machine with another network, and with less patience. */
function inside(namespace: string): System {
  const system = realSystem();
  return {
    ...system,
    run: (argv, options) => system.run(["ip", "netns", "exec", namespace, ...argv], options),
    clock: { ...system.clock, sleep: (seconds, signal) => system.clock.sleep(seconds / 10, signal) },
  };
}

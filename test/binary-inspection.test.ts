// Inspection by the compiled executable (control-plane 11.78 to 11.82 and 11.89, contract 10.64 and 10.65): the agent's own at start-up, and the
// program that only inspects. The machine inspected is the one the tests run on; nothing on it is changed.

import { describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { BINARY, machineMacs, startAgentProcess } from "./support/agent-process.ts";
import { selfSigned } from "./support/certificate.ts";
import { accepted, isHeartbeat, isLookup, type Received, scriptedIronic } from "./support/scripted-ironic.ts";

const UUID = "6d1d8b1c-1c71-4a5b-9d0e-0a3f5d4e2c14";
const noMounts = process.getuid?.() !== 0 || Bun.which("unshare") === null;
/** Puts a file over another one, for the program that follows alone. */
const OVER = ["unshare", "--mount", "sh", "-ec", 'mount --bind "$0" "$1"; shift; exec "$@"'];
const isPosted = ({ path }: Received) => path === "/v1/continue";

/** Ironic and inspector in one; `inspector` answers the posts, told their number. */
function services(inspector: (number: number) => Response, tls?: Awaited<ReturnType<typeof selfSigned>>) {
  return scriptedIronic({
    ...(tls === undefined ? {} : { tls }),
    answer(request, before) {
      if (isPosted(request)) return inspector(before.filter(isPosted).length);
      if (isHeartbeat(request)) return accepted();
      if (!isLookup(request)) return null;
      const config = { heartbeat_timeout: 300, agent_token: "t".repeat(43) };
      return Response.json({ node: { uuid: UUID }, config });
    },
  });
}

const known = () => Response.json({ uuid: UUID });

describe.concurrent("the executable inspects at start-up", () => {
  test("11.78, 11.82 and contract 10.64, 10.65: posts the data over TLS, then looks up the node it was told", async () => {
    await using tls = await selfSigned("127.0.0.1");
    await using service = services(known, tls);
    await using _ = await startAgentProcess(
      ...["--api_url", service.url, "--inspection_callback_url", `${service.url}/v1/continue`],
      ...["--cafile", tls.certFile, "--inspection_collectors", "default,pci-devices,numa-topology"],
    );
    const lookup = await service.first(isLookup);
    expect(new URLSearchParams(lookup.path.split("?")[1]).get("node_uuid")).toBe(UUID);
    const [posted, ...more] = service.received.filter(isPosted);
    expect(more).toEqual([]);
    const data = posted?.body;
    expect(Object.keys(data).at(-1)).toBe("error");
    expect(data).toMatchObject({
      error: null,
      boot_interface: null,
      configuration: {
        collectors: ["default", "pci-devices", "numa-topology"],
        managers: expect.arrayContaining([{ name: "generic_hardware_manager", version: "1.2" }]),
      },
      pci_devices: expect.any(Array),
      inventory: {
        cpu: { count: expect.any(Number), architecture: expect.any(String), flags: expect.any(Array) },
        memory: { total: expect.any(Number) },
        disks: expect.any(Array),
        boot: { current_boot_mode: expect.stringMatching(/^(bios|uefi)$/), pxe_interface: null },
        hostname: expect.any(String),
        system_vendor: expect.any(Object),
      },
    });
    expect(data.inventory.interfaces).not.toBeEmpty();
    for (const { name, mac_address } of data.inventory.interfaces) {
      expect(name).toBeString();
      expect(mac_address).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
    }
  }, 60_000);

  test("11.79 and 11.80: an unknown collector is all that is posted; the lookup follows, without a UUID", async () => {
    await using service = services(known);
    await using _ = await startAgentProcess(
      ...["--api_url", service.url, "--inspection_callback_url", `${service.url}/v1/continue`],
      ...["--inspection_collectors", "default,nosuch"],
    );
    const lookup = await service.first(isLookup);
    expect(lookup.path).not.toContain("node_uuid");
    expect(service.received.filter(isPosted).map(({ body }) => body)).toEqual([
      {
        error: expect.stringMatching(
          /^The following errors were encountered:\n\* Failed to load collector .*nosuch/,
        ),
      },
    ]);
  }, 60_000);

  test("11.81: what is refused with 400 is not posted again, 503 is; the lookup follows", async () => {
    for (const [status, posts] of [
      [400, 1],
      [503, 2],
    ] as const) {
      await using service = services((number) => (number === 0 ? new Response("no", { status }) : known()));
      await using _ = await startAgentProcess(
        ...["--api_url", service.url, "--inspection_callback_url", `${service.url}/v1/continue`],
        ...["--inspection_collectors", "pci-devices"],
      );
      const lookup = await service.first(isLookup);
      expect(lookup.path.includes("node_uuid")).toBe(status === 503);
      expect(service.received.filter(isPosted)).toHaveLength(posts);
    }
  }, 60_000);

  test("contract 10.64: with nothing but a URL to post to it does that, asks for nothing and stays", async () => {
    await using service = services(known);
    await using agent = await startAgentProcess(
      ...[
        "--inspection_callback_url",
        `${service.url}/v1/continue`,
        "--inspection_collectors",
        "pci-devices",
      ],
    );
    await service.first(isPosted);
    while (!agent.log().includes("Serving the API")) await Bun.sleep(10);
    expect((await fetch(`http://127.0.0.1:${agent.port}/v1/status`)).status).toBe(200);
    expect(service.received.map(({ path }) => path)).toEqual(["/v1/continue"]);
    expect(await agent.stop()).toBe(0);
  }, 60_000);
});

describe.concurrent("ironic-collect-introspection-data", () => {
  type Collect = {
    readonly options?: readonly string[];
    /** Words in front of the executable. */
    readonly inside?: readonly string[];
  };

  /** The executable under its other name. */
  async function collect(url: string, { options = [], inside = [] }: Collect = {}) {
    const home = await mkdtemp(`${tmpdir()}/collect-`);
    const program = `${home}/ironic-collect-introspection-data`;
    await symlink(BINARY, program);
    const words = ["--inspection_callback_url", url, "--inspection_collectors", "pci-devices", ...options];
    const child = Bun.spawn([...inside, program, ...words], {
      env: { PATH: process.env.PATH, HOME: home },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const log = await new Response(child.stdout).text();
    const exitCode = await child.exited;
    await rm(home, { recursive: true });
    return { exitCode, log };
  }

  test.skipIf(noMounts || Bun.which("dmidecode") === null)(
    "11.86: what dmidecode tells: the slots of all arrays, and each device",
    async () => {
      const array =
        "Handle 0x1000, DMI type 16, 23 bytes\\nPhysical Memory Array\\n\\tNumber Of Devices: 6\\n\\n";
      const device = "Handle 0x1100, DMI type 17, 40 bytes\\nMemory Device\\n\\tSize: 1536 MB\\n\\n";
      await using service = services(known);
      const fake = `${tmpdir()}/dmidecode-${crypto.randomUUID()}`;
      await Bun.write(fake, `#!/bin/sh\nprintf '${array}${array}${device}${device}'\n`);
      await chmod(fake, 0o755);
      const { exitCode } = await collect(`${service.url}/v1/continue`, {
        options: ["--inspection_collectors", "dmi-decode"],
        inside: [...OVER, fake, Bun.which("dmidecode") ?? ""],
      });
      await rm(fake);
      expect(exitCode).toBe(0);
      expect(service.received[0]?.body.dmi.memory).toMatchObject({
        "Number Of Devices": 12,
        devices: [{ Size: "1536 MB" }, { Size: "1536 MB" }],
      });
    },
    60_000,
  );

  test.skipIf(noMounts)(
    "11.83, 11.84 and contract 10.63: BOOTIF stays as it is in the data; its address is no wait",
    async () => {
      const [mac] = await machineMacs();
      const bootif = `01-${mac.replaceAll(":", "-").toUpperCase()}`;
      await using service = services(known);
      const cmdline = `${tmpdir()}/cmdline-${crypto.randomUUID()}`;
      await Bun.write(cmdline, `quiet BOOTIF=${bootif}\n`);
      const { exitCode, log } = await collect(`${service.url}/v1/continue`, {
        options: ["--inspection_collectors", "default", "--debug"],
        inside: [...OVER, cmdline, "/proc/cmdline"],
      });
      await rm(cmdline);
      expect(exitCode).toBe(0);
      const { boot_interface, inventory } = service.received[0]?.body ?? {};
      expect([boot_interface, inventory.boot.pxe_interface]).toEqual([bootif, bootif]);
      expect(log).not.toMatch(/WARNING .*DHCP/);
    },
    60_000,
  );

  test("11.89: ends with 0 when the data are taken", async () => {
    await using service = services(known);
    expect((await collect(`${service.url}/v1/continue`)).exitCode).toBe(0);
    expect(service.received.map(({ path }) => path)).toEqual(["/v1/continue"]);
  }, 60_000);

  test("11.89: ends with 1 when they are refused", async () => {
    await using service = services(() => new Response("no", { status: 400 }));
    const { exitCode, log } = await collect(`${service.url}/v1/continue`);
    expect([exitCode, service.received.length]).toEqual([1, 1]);
    expect(log).toContain("Inspection failed: ");
  }, 60_000);

  test("11.81 and 11.89: ends with 1 when nobody listens, after five attempts", async () => {
    await using gone = services(known);
    const { url } = gone;
    await gone[Symbol.asyncDispose]();
    const { exitCode, log } = await collect(`${url}/v1/continue`);
    expect(exitCode).toBe(1);
    expect(log).toContain("Inspection failed: ");
    expect(log.split("\n").filter((line) => line.includes("WARNING") && line.includes(url))).toHaveLength(4);
  }, 120_000);

  test("11.89: as a daemon it goes on posting", async () => {
    await using service = services(known);
    const home = await mkdtemp(`${tmpdir()}/collect-`);
    await Bun.write(
      `${home}/daemon.conf`,
      "[DEFAULT]\nintrospection_daemon = true\nintrospection_daemon_post_interval = 1\n",
    );
    const child = Bun.spawn(
      [
        ...[BINARY, "collect-introspection-data", "--config-file", `${home}/daemon.conf`],
        ...[
          "--inspection_callback_url",
          `${service.url}/v1/continue`,
          "--inspection_collectors",
          "pci-devices",
        ],
      ],
      { env: { PATH: process.env.PATH, HOME: home }, stdin: "ignore", stdout: "ignore", stderr: "ignore" },
    );
    while (service.received.length < 3) await Bun.sleep(20);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    await rm(home, { recursive: true });
  }, 60_000);
});

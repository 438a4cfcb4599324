// A machine's BMC: OpenIPMI's simulator, which speaks real IPMI to both sides, to the conductor over the network and to the
// machine's own kernel through the KCS interface. What the conductor wants from the chassis (power, reset, boot device) the
// simulator asks of a small program, and that asks here.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type RunningProgram, run, start } from "../rig/programs.ts";

const CHASSIS_CONTROL = join(import.meta.dir, "chassis-control");
const LAN_PORT = 6230;
const KCS_PORT = 9100;
const USER = "admin";
const PASSWORD = "rig-secret";
/** RAKP-HMAC-SHA1 with AES-CBC-128: what the simulator knows. Left to itself, ipmitool asks for more and waits in vain. */
const CIPHER_SUITE = 3;
const START_ATTEMPTS = 50;
const START_INTERVAL_MS = 100;

/** What a BMC switches. It orders and does not wait: whether the machine obeys shows in its power state. */
export interface Chassis {
  powered(): boolean;
  powerOn(): void;
  powerOff(): void;
  reset(): void;
  pressPowerButton(): void;
  /** As IPMI names it: pxe, default (the disk), cdrom, bios, … */
  bootDevice: string;
}

export interface BmcOptions {
  /** Position among the BMCs of the run, from 0: decides its ports. */
  index: number;
  address: string;
  /** The MAC address that the BMC says it has. */
  mac: string;
  directory: string;
  chassis: Chassis;
}

/** Arguments for QEMU that put the system side of the BMC with this position into a machine. */
export function bmcQemuArguments(index: number): string[] {
  return [
    ...["-chardev", `socket,id=bmc,host=127.0.0.1,port=${KCS_PORT + index},reconnect=2`],
    ...["-device", "ipmi-bmc-extern,id=bmc0,chardev=bmc", "-device", "isa-ipmi-kcs,bmc=bmc0"],
  ];
}

export class Bmc implements AsyncDisposable {
  readonly #options: BmcOptions;
  readonly #listener: { port: number; stop(closeActive?: boolean): void };
  readonly #simulator: RunningProgram;

  private constructor(
    options: BmcOptions,
    listener: { port: number; stop(closeActive?: boolean): void },
    simulator: RunningProgram,
  ) {
    this.#options = options;
    this.#listener = listener;
    this.#simulator = simulator;
  }

  /** Returns when it answers over the network. */
  static async start(options: BmcOptions): Promise<Bmc> {
    const listener = listen(options.chassis);
    const state = join(options.directory, "bmc");
    await mkdir(state, { recursive: true });
    await writeFile(join(state, "lan.conf"), lanConfiguration(options, listener.port));
    await writeFile(join(state, "commands"), SIMULATOR_COMMANDS);
    const simulator = start(["ipmi_sim", "-n", "-c", "lan.conf", "-f", "commands", "-s", state], {
      cwd: state,
      logFile: join(options.directory, "bmc.log"),
    });
    const bmc = new Bmc(options, listener, simulator);
    try {
      await bmc.#tellItsAddress();
    } catch (error) {
      await bmc[Symbol.asyncDispose]();
      throw error;
    }
    return bmc;
  }

  /** `driver_info` of a node with Ironic's ipmi hardware type. */
  get driverInfo(): Record<string, string | number> {
    return {
      ipmi_address: this.#options.address,
      ipmi_port: LAN_PORT + this.#options.index,
      ipmi_username: USER,
      ipmi_password: PASSWORD,
      ipmi_cipher_suite: String(CIPHER_SUITE),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#simulator.stop();
    this.#listener.stop(true);
  }

  /** The address that `ipmitool lan print` shows inside the machine, where the agent reads it for its inventory. */
  async #tellItsAddress(): Promise<void> {
    const { address, mac } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#ipmitool("lan", "set", "1", "ipsrc", "static");
        break;
      } catch (error) {
        if (attempt >= START_ATTEMPTS || !this.#simulator.running) throw error;
        await Bun.sleep(START_INTERVAL_MS);
      }
    }
    await this.#ipmitool("lan", "set", "1", "ipaddr", address);
    await this.#ipmitool("lan", "set", "1", "macaddr", mac);
  }

  async #ipmitool(...command: string[]): Promise<void> {
    const { address, index } = this.#options;
    await run(
      [
        ...["ipmitool", "-I", "lanplus", "-C", String(CIPHER_SUITE), "-R", "1", "-N", "1"],
        ...["-H", address, "-p", String(LAN_PORT + index), "-U", USER, "-P", PASSWORD, ...command],
      ],
      { timeoutMs: 20_000 },
    );
  }
}

/** Answers chassis-control, one request per connection. */
function listen(chassis: Chassis): { port: number; stop(closeActive?: boolean): void } {
  return Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, data) {
        socket.end(`${answer(chassis, data.toString("utf8").trim().split(" "))}\n`);
      },
    },
  });
}

function answer(chassis: Chassis, [verb, what, value]: string[]): string {
  switch (`${verb} ${what}`) {
    case "get power":
      return `power:${chassis.powered() ? 1 : 0}`;
    case "get boot":
      return `boot:${chassis.bootDevice}`;
    case "set boot":
      chassis.bootDevice = value ?? "default";
      return "ok";
    case "set power":
      if (value === "1") chassis.powerOn();
      else chassis.powerOff();
      return "ok";
    case "set reset":
      chassis.reset();
      return "ok";
    case "set shutdown":
      chassis.pressPowerButton();
      return "ok";
    case "set identify":
      return "ok";
    default:
      return "unknown";
  }
}

/** One management controller at the usual address, without sensors. */
const SIMULATOR_COMMANDS = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
`;

function lanConfiguration({ index, address }: BmcOptions, chassisPort: number): string {
  const authentication = ["callback", "user", "operator", "admin"]
    .map((level) => `  allowed_auths_${level} none md2 md5 straight\n`)
    .join("");
  return `name "bmc${index}"
set_working_mc 0x20
startlan 1
  addr ${address} ${LAN_PORT + index}
  priv_limit admin
${authentication}  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "${CHASSIS_CONTROL} ${chassisPort}"
serial kcs 127.0.0.1 ${KCS_PORT + index} codec VM
startnow false
user 1 true "" "" user 10 none md2 md5 straight
user 2 true "${USER}" "${PASSWORD}" admin 10 none md2 md5 straight
`;
}

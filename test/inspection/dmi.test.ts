import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { collectDmi, DmiFormatError, parseDmi } from "../../src/inspection/dmi.ts";
import { loadMachine } from "../hardware/recording/recording.ts";
import { thrower } from "../support/rejection.ts";
import { inspectedMachine } from "./support.ts";

const COMMAND = "dmidecode -t bios -t processor -t memory";

const HEAD = `# dmidecode 3.4
Getting SMBIOS data from sysfs.
SMBIOS 2.8 present.

`;
const BIOS = `Handle 0x0000, DMI type 0, 24 bytes
BIOS Information
\tVendor: TestBIOS
\tVersion: 1.2.3
\tRelease Date: 03/30/2023
\tCharacteristics:
\t\tBIOS characteristics not supported
\t\tSystem is a virtual machine
\tBIOS Revision: 0.0

`;
const PROCESSOR = `Handle 0x0400, DMI type 4, 42 bytes
Processor Information
\tSocket Designation: CPU 0
\tSignature: Type 0, Family 6, Model 60, Stepping 1
\tCore Count: 2

`;
const array = (handle: string, slots: number | string) => `Handle ${handle}, DMI type 16, 23 bytes
Physical Memory Array
\tLocation: Other
\tMaximum Capacity: 1536 MB
\tNumber Of Devices: ${slots}

`;
const device = (handle: string) => `Handle ${handle}, DMI type 17, 40 bytes
Memory Device
\tArray Handle: 0x1000
\tSize: 1536 MB
\tLocator: DIMM ${handle.at(-1)}

`;

function parsed(text: string) {
  const warnings: string[] = [];
  return { dmi: parseDmi(text, (message) => warnings.push(message)), warnings };
}

describe("dmidecode's answer", () => {
  // hardware 13.96: the example of 11.3
  test("becomes firmware, processors and memory, in its own words", () => {
    expect(parsed(HEAD + BIOS + PROCESSOR + array("0x1000", 1) + device("0x1100"))).toEqual({
      dmi: {
        bios: {
          Handle: "Handle 0x0000, DMI type 0, 24 bytes",
          Vendor: "TestBIOS",
          Version: "1.2.3",
          "Release Date": "03/30/2023",
          Characteristics: ["BIOS characteristics not supported", "System is a virtual machine"],
          "BIOS Revision": "0.0",
        },
        cpu: [
          {
            Handle: "Handle 0x0400, DMI type 4, 42 bytes",
            "Socket Designation": "CPU 0",
            Signature: "Type 0, Family 6, Model 60, Stepping 1",
            "Core Count": "2",
          },
        ],
        memory: {
          Location: "Other",
          "Maximum Capacity": "1536 MB",
          "Number Of Devices": 1,
          devices: [
            {
              Handle: "Handle 0x1100, DMI type 17, 40 bytes",
              "Array Handle": "0x1000",
              Size: "1536 MB",
              Locator: "DIMM 0",
            },
          ],
        },
      },
      warnings: [],
    });
  });

  // control-plane 11.86
  test("adds up the slots of two arrays; the rest is the first one's", () => {
    const text = HEAD + array("0x1000", 6) + array("0x1001", 6) + device("0x1100") + device("0x1101");
    expect(parsed(text).dmi.memory).toMatchObject({
      "Number Of Devices": 12,
      devices: [{ Locator: "DIMM 0" }, { Locator: "DIMM 1" }],
    });
  });

  test("without an array is the modules alone, and an array without modules has none", () => {
    expect(parsed(HEAD + BIOS).dmi).toMatchObject({ cpu: [], memory: { devices: [] } });
    expect(parsed(HEAD + array("0x1000", 4)).dmi.memory).not.toHaveProperty("devices");
  });

  test("with slots that are no number is nothing, with a warning; without slots a failure", () => {
    expect(parsed(HEAD + BIOS + array("0x1000", "many"))).toMatchObject({
      dmi: {},
      warnings: [expect.any(String)],
    });
    const without = array("0x1000", 1).replace(/\tNumber.*\n/, "");
    expect(() => parsed(HEAD + without)).toThrow(DmiFormatError);
  });

  test("is no crash, whatever firmware writes", () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom("\t__proto__: x", "\tconstructor:", "\t\titem", "\tHandle: y", ":", "Handle 0x"),
    );
    const block = fc
      .tuple(fc.constantFrom(0, 4, 16, 17, 200), fc.array(line))
      .map(([type, lines]) => `Handle 0x0001, DMI type ${type}, 9 bytes\n${lines.join("\n")}\n`);
    fc.assert(
      fc.property(fc.array(fc.oneof(block, fc.string())), (blocks) => {
        try {
          expect(JSON.parse(JSON.stringify(parsed(blocks.join("\n")).dmi))).toBeObject();
        } catch (error) {
          expect(error).toBeInstanceOf(DmiFormatError);
        }
      }),
    );
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });
});

describe("the collector", () => {
  test("fails when dmidecode is missing or fails", async () => {
    expect(await thrower(collectDmi(await inspectedMachine({})))).toThrow("cannot run dmidecode");
    const failing = { [COMMAND]: { exitCode: 1, stderr: "/dev/mem: No such file or directory" } };
    const machine = await inspectedMachine({ programs: failing });
    expect(await thrower(collectDmi(machine))).toThrow("/dev/mem: No such file or directory");
  });

  // Two sockets of 2 GiB in all: see recording/machines.ts.
  test("tells of the recorded machine what was configured", async () => {
    const machine = await inspectedMachine(await loadMachine("qemu-numa"));
    const { dmi } = (await collectDmi(machine)) as { dmi: Record<string, unknown> };
    expect(dmi.bios).toMatchObject({ Vendor: "SeaBIOS" });
    expect((dmi.cpu as object[]).map((cpu) => "Core Count" in cpu)).toEqual([true, true]);
    expect(dmi.memory).toMatchObject({ "Number Of Devices": 1, devices: [{ Size: "2 GB" }] });
  });
});

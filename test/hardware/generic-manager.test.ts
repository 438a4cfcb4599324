import { describe, expect, test } from "bun:test";
import { HostDiskError } from "../../src/errors.ts";
import type { StepKind } from "../../src/steps/step.ts";
import { ProgramFailedError } from "../../src/system/programs.ts";
import { rejection } from "../support/rejection.ts";
import { loadMachine } from "./recording/recording.ts";
import { managersOn, RAMDISK_FILES } from "./support.ts";

describe("the whole inventory", () => {
  // hardware 13.1
  test("has the wire's keys in the wire's order", async () => {
    const { managers } = managersOn(await loadMachine("qemu-bios"));
    await managers.load();
    const inventory = await managers.inventory({ useCache: true });
    expect(Object.keys(inventory)).toEqual([
      ...["interfaces", "cpu", "disks", "memory", "bmc_address", "bmc_v6address"],
      ...["system_vendor", "boot", "hostname"],
    ]);
    expect(inventory.hostname).toBe("ironic-ramdisk");
    expect(inventory.disks).toHaveLength(10);
    const fields = (value: object) => Object.keys(value);
    expect(fields(inventory.interfaces[0]!)).toEqual([
      ...["name", "mac_address", "ipv4_address", "ipv6_address", "has_carrier", "lldp", "vendor", "product"],
      ...["client_id", "biosdevname", "speed_mbps", "pci_address", "driver"],
    ]);
    expect(fields(inventory.cpu)).toEqual([
      ...["model_name", "frequency", "count", "architecture", "flags", "socket_count"],
    ]);
    expect(fields(inventory.memory)).toEqual(["total", "physical_mb"]);
    expect(fields(inventory.system_vendor)).toEqual([
      ...["product_name", "serial_number", "manufacturer", "firmware"],
    ]);
    expect(fields(inventory.system_vendor.firmware)).toEqual(["vendor", "version", "build_date"]);
    expect(fields(inventory.boot)).toEqual(["current_boot_mode", "pxe_interface"]);
    // Nothing undefined: JSON would lose the key.
    expect(JSON.parse(JSON.stringify(inventory))).toEqual(inventory as never);
  });

  // hardware 13.50
  test("firmware and boot parameters", async () => {
    const bootOf = async (name: string) => {
      const { managers } = managersOn(await loadMachine(name));
      await managers.load();
      return managers.dispatch("getBootInfo");
    };
    expect(await bootOf("qemu-bios")).toEqual({
      current_boot_mode: "bios",
      pxe_interface: "01-52-54-00-12-34-56",
    });
    expect(await bootOf("qemu-uefi")).toEqual({ current_boot_mode: "uefi", pxe_interface: null });
  });

  test("asks lshw once, though memory and vendor both need it, and not at all with SMBIOS", async () => {
    const count = async (name: string) => {
      const { managers, system } = managersOn(await loadMachine(name));
      await managers.load();
      await managers.inventory({ useCache: true });
      return system.calls.filter(([program]) => program === "lshw").length;
    };
    expect([await count("microvm"), await count("qemu-bios")]).toEqual([1, 0]);
  });
});

describe("preparing the machine", () => {
  const LSBLK = { lsblk: { stdout: '{"blockdevices": []}' }, udevadm: {} };

  async function prepared(
    programs: Parameters<typeof managersOn>[0]["programs"],
    files: object = RAMDISK_FILES,
  ) {
    const { managers, system } = managersOn(
      { files: { ...files }, programs: { ...LSBLK, ...programs } },
      { disk_wait_attempts: 1 },
    );
    await managers.load();
    return {
      calls: system.calls.map((argv) => argv.join(" ")),
      records: system.records.map(({ level, message }) => `${level} ${message.split(":")[0]}`),
    };
  }

  const IBFT = { ...RAMDISK_FILES, "/sys/firmware/ibft/initiator/initiator-name": "iqn.test\n" };

  test("iSCSI of the firmware, arrays, IPMI drivers, then the wait for the disk", async () => {
    const { calls } = await prepared({ iscsistart: {}, mdadm: {}, modprobe: {} }, IBFT);
    const drivers = calls.filter((call) => call.startsWith("modprobe"));
    expect(drivers).toEqual(["modprobe ipmi_devintf", "modprobe ipmi_si"]);
    expect(calls.filter((call) => !drivers.includes(call))).toEqual([
      "iscsistart -f",
      "iscsistart -b",
      "mdadm --assemble --scan --verbose",
      "udevadm settle",
      expect.stringMatching(/^lsblk /) as never,
    ]);
  });

  test("no program for what sysfs tells: firmware without iSCSI, drivers that are loaded", async () => {
    const { calls } = await prepared(
      { iscsistart: {}, mdadm: {}, modprobe: {} },
      {
        ...RAMDISK_FILES,
        ...{ "/sys/firmware/dmi": { directory: true }, "/sys/firmware/efi": { directory: true } },
        "/sys/module/ipmi_devintf": { directory: true },
      },
    );
    expect(calls.filter((call) => /^(?:iscsistart|modprobe)/.test(call))).toEqual(["modprobe ipmi_si"]);
  });

  test("an adapter or Open Firmware may know of iSCSI disks as well", async () => {
    for (const place of ["/sys/firmware/iscsi_boot0", "/proc/device-tree"]) {
      const { calls } = await prepared(
        { iscsistart: {} },
        { ...RAMDISK_FILES, [place]: { directory: true } },
      );
      expect(calls).toContain("iscsistart -f");
    }
  });

  test("without firmware disks none are attached, and no failure stops it", async () => {
    const fails = { exitCode: 1, stderr: "no" };
    const { calls, records } = await prepared({ iscsistart: fails, mdadm: fails, modprobe: fails }, IBFT);
    expect(calls).not.toContain("iscsistart -b");
    expect(calls).toHaveLength(6);
    expect(records).toContain("INFO no software RAID array assembled");
    expect(records).toContain("WARNING the root disk did not appear within 0 seconds");
  });

  test("a failing attachment and a missing mdadm are warnings", async () => {
    const { records } = await prepared(
      { "iscsistart -f": {}, "iscsistart -b": { exitCode: 7, stderr: "timed out" } },
      IBFT,
    );
    expect(records).toContain("WARNING attaching the firmware's iSCSI disks");
    expect(records).toContain("WARNING software RAID arrays stay unassembled");
  });

  test("a tool that hangs is given up", async () => {
    const { records } = await prepared({
      mdadm: (argv) => {
        throw new ProgramFailedError(argv, "gave up after 180 s and ended it", null, "", "");
      },
    });
    expect(records).toContain("INFO no software RAID array assembled");
  });

  test("on a machine that was not booted from a ramdisk nothing is touched and nothing awaited", async () => {
    const recording = await loadMachine("microvm");
    const { managers, system } = managersOn(recording);
    await managers.load();
    expect(system.calls).toEqual([]);
    expect(system.sleeps).toEqual([]);
  });

  test("where host disks are allowed the wait happens, but still nothing is touched", async () => {
    const { managers, system } = managersOn(await loadMachine("microvm"), { allow_host_disks: true });
    await managers.load();
    expect(system.sleeps).toHaveLength(9);
    expect(new Set(system.calls.map(([program]) => program))).toEqual(new Set(["udevadm", "lsblk"]));
  });
});

test("a node with a new UUID waits for its disk, by its hints", async () => {
  const { managers, system } = managersOn(await loadMachine("qemu-bios"));
  await managers.load();
  await managers.node.cache({ uuid: "a", properties: { root_device: { serial: "nowhere" } } });
  expect(system.sleeps).toHaveLength(9);
  await managers.node.cache({ uuid: "a", properties: { root_device: { serial: "VBLK1" } } });
  expect(system.sleeps).toHaveLength(9);
  await managers.node.cache({ uuid: "b", properties: { root_device: { serial: "VBLK1" } } });
  expect(system.sleeps).toHaveLength(9);
});

// hardware 13.53, contract 10.34
test("what the generic manager offers is what is implemented", async () => {
  const { managers } = managersOn({ files: RAMDISK_FILES }, { disk_wait_attempts: 0 });
  await managers.load();
  expect(managers.versions()).toEqual({ generic_hardware_manager: "1.2" });
  const offered = async (kind: StepKind) => {
    const { GenericHardwareManager: steps } = await managers.steps(kind, {}, []);
    for (const step of steps!) expect(step).toMatchObject({ reboot_requested: false });
    return steps!.map(({ step, priority, interface: stepInterface, abortable, argsinfo }) =>
      [
        `${stepInterface}.${step} ${priority}`,
        ...(abortable === true ? ["abortable"] : []),
        ...Object.keys(argsinfo ?? {}).map((name) => `${name}${argsinfo![name]!.required ? "!" : ""}`),
      ].join(" "),
    );
  };
  expect(await offered("clean")).toEqual([
    "deploy.erase_devices 10 abortable",
    "deploy.erase_devices_metadata 99 abortable",
    "deploy.erase_devices_express 0 abortable",
    "deploy.erase_pstore 0 abortable",
    "deploy.clean_uefi_nvram 0 abortable match_patterns",
    "raid.delete_configuration 0 abortable",
    "raid.create_configuration 0 abortable",
    "deploy.burnin_cpu 0 abortable",
    "deploy.burnin_gpu 0 abortable",
    "deploy.burnin_disk 0 abortable",
    "deploy.burnin_memory 0 abortable",
    "deploy.burnin_network 0 abortable",
  ]);
  expect(await offered("deploy")).toEqual([
    "deploy.erase_devices_metadata 0",
    "raid.apply_configuration 0 raid_config! delete_existing",
    "deploy.clean_uefi_nvram 0 match_patterns",
    "deploy.write_image 0",
    "deploy.inject_files 0 files verify_ca",
  ]);
  expect(await offered("service")).toEqual([
    "raid.delete_configuration 0 abortable",
    "raid.apply_configuration 0 raid_config! delete_existing",
    "raid.create_configuration 0 abortable",
    "deploy.burnin_cpu 0 abortable",
    "deploy.burnin_gpu 0 abortable",
    "deploy.burnin_memory 0 abortable",
    "deploy.burnin_network 0 abortable",
    "deploy.write_image 0",
    "deploy.inject_files 0 files verify_ca",
  ]);
});

describe("the clean step", () => {
  const call = { node: {}, ports: [], args: {}, signal: new AbortController().signal, report: () => {} };

  test("looks at every disk and partition the managers list, partitions first", async () => {
    const recording = await loadMachine("qemu-uefi");
    // Every device a member of an array: nothing is erased.
    const programs = { ...recording.programs, lsblk: { stdout: "sda linux_raid_member\n" } };
    const { managers, system } = managersOn({ ...recording, programs });
    await managers.load();
    expect(await managers.executeStep("clean", "erase_devices_metadata", call)).toBeNull();
    const looked = system.calls.filter((argv) => argv.includes("--fs")).map((argv) => argv.at(-1));
    expect(looked).toEqual(["/dev/vda", "/dev/sda2", "/dev/sda1", "/dev/sda", "/dev/nvme0n1"]);
    expect(system.calls.some(([program]) => program === "wipefs" || program === "sgdisk")).toBe(false);
  });

  test("refuses the disk of the running system, whatever is allowed", async () => {
    const recording = await loadMachine("microvm");
    const programs = { ...recording.programs, "lsblk --fs --noheadings /dev/vda": { stdout: "vda ext4\n" } };
    const { managers } = managersOn(
      { ...recording, programs },
      { allow_host_disks: true, disk_wait_attempts: 0 },
    );
    await managers.load();
    expect(await rejection(managers.executeStep("clean", "erase_devices_metadata", call))).toBeInstanceOf(
      HostDiskError,
    );
  });
});

// How the conductor switches a machine on and off. A demo plugs a QEMU process in here, a rig with BMCs an IPMI client,
// a test a variable: the operations do not know the difference.

/** What the machine shall boot; kernel parameters in their order on the command line. */
export type Boot = { device: "ramdisk"; kernelParameters: readonly string[] } | { device: "disk" };

export type PowerState = "power on" | "power off";

export interface PowerControl {
  /** Switches the machine on; it is off when this is called. */
  on(boot: Boot): Promise<void>;
  /** Pulls the plug. Does nothing when the machine is off already. */
  off(): Promise<void>;
  state(): Promise<PowerState>;
}

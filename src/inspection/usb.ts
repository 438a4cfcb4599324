// The collector usb-devices. Rules: hardware specification 1.7.

import type { Collector } from "./collector.ts";

export const collectUsb: Collector = async ({ managers }) => ({
  usb_devices: await managers.dispatch("getUsbDevices"),
});

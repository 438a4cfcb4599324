// LLDP: what the switch at the other end of each cable tells about itself. A neighbour speaks every 30
// seconds, so one frame of each interface is enough. Rules: hardware specification 4.5, control-plane
// specification 8.4.

import { errorText } from "../errors.ts";
import { FrameCaptureError } from "../system/raw-socket.ts";
import type { System } from "../system/system.ts";

const ETHER_TYPE = 0x88cc;
/** Bytes of destination, source and EtherType. */
const ETHERNET_HEADER = 14;
const TLV_HEADER = 2;

const ORGANIZATION_SPECIFIC = 127;
/** Organization 00-80-C2 (IEEE 802.1), subtype 3: the VLANs of the port by name. */
const VLAN_NAME = "0080c203";

/** Type and value (lower-case hex) of each TLV of a frame, in its order; the wire's form. */
export type LldpTlvs = [number, string][];

/**
 * By interface name; [] for one that gave no frame, and no entry for one that cannot be read (its link is
 * down).
 */
export type LldpData = { [interfaceName: string]: LldpTlvs };

/**
 * Listens on all interfaces at once until each has heard its neighbour, or none has been heard for `timeout`
 * seconds. Empty, with the reason in the log, if one of them cannot be listened on at all.
 */
export async function captureLldp(
  system: System,
  names: readonly string[],
  timeout: number,
  signal?: AbortSignal,
): Promise<LldpData> {
  try {
    const heard = new Map<string, LldpTlvs>();
    using capture = system.captureFrames(names, ETHER_TYPE);
    while (capture.waiting.length > 0) {
      const received = await capture.next(timeout, signal);
      if (received.length === 0) break;
      for (const answer of received) {
        if ("frame" in answer) heard.set(answer.name, parseLldpFrame(answer.frame));
        else system.log.warning(`no LLDP from ${answer.name}: ${answer.error}`);
      }
    }
    for (const name of capture.waiting) heard.set(name, []);
    return Object.fromEntries(
      [...heard].sort(([left], [right]) => names.indexOf(left) - names.indexOf(right)),
    );
  } catch (error) {
    if (!(error instanceof FrameCaptureError)) throw error;
    system.log.error(`LLDP is not collected: ${errorText(error)}`);
    return {};
  }
}

/**
 * The TLVs of a frame. Reading goes on behind the end mark, as the reference does: the zeros with which short
 * frames are filled up come out as [0, ""]. A value that is cut off counts as far as it is there.
 */
export function parseLldpFrame(frame: Uint8Array): LldpTlvs {
  const tlvs: LldpTlvs = [];
  let position = ETHERNET_HEADER;
  while (position + TLV_HEADER <= frame.length) {
    // Seven bits of type, nine of length.
    const header = ((frame[position] ?? 0) << 8) | (frame[position + 1] ?? 0);
    const end = position + TLV_HEADER + (header & 0x1ff);
    tlvs.push([header >> 9, frame.subarray(position + TLV_HEADER, end).toHex()]);
    position = end;
  }
  return tlvs;
}

/** The VLANs a port says it carries, in the order of the frame. */
export function advertisedVlans(tlvs: LldpTlvs): number[] {
  return tlvs.flatMap(([type, value]) => {
    const id = value.slice(VLAN_NAME.length, VLAN_NAME.length + 4);
    if (type !== ORGANIZATION_SPECIFIC || !value.startsWith(VLAN_NAME) || id.length < 4) return [];
    return [Number.parseInt(id, 16)];
  });
}

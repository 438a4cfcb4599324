// What a network card is, asked from its driver by the ethtool ioctl: sysfs shows only the speed and the address of the moment.

import { addressOf, openLibC, structure } from "./libc.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GPERMADDR = 0x20;
const ETHTOOL_GLINKSETTINGS = 0x4c;

/** Bytes of an interface's name in struct ifreq, and of the structure. */
const NAME_SIZE = 16;
const REQUEST_SIZE = 40;
/** Bytes of struct ethtool_perm_addr before the address, where in it the length stands, and the longest address. */
const ADDRESS_OFFSET = 8;
const ADDRESS_LENGTH_OFFSET = 4;
const MOST_ADDRESS_BYTES = 32;
/**
 * Bytes of struct ethtool_link_settings, where in it the number of mask words stands, and its upper limit.
 */
const SETTINGS_SIZE = 48;
const MASK_WORDS_OFFSET = 15;
const MASK_WORDS_LIMIT = 127;

/**
 * The link modes the port supports, as the kernel's ETHTOOL_LINK_MODE_*_BIT numbers; null if its driver does
 * not tell.
 */
export type SupportedLinkModes = (interfaceName: string) => readonly number[] | null;

export const realSupportedLinkModes: SupportedLinkModes = (interfaceName) => {
  const settings = structure(SETTINGS_SIZE + 3 * 4 * MASK_WORDS_LIMIT);
  return askDriver(interfaceName, settings.bytes, (ask) => {
    settings.members.setUint32(0, ETHTOOL_GLINKSETTINGS, true);
    // The kernel answers the first call with the number of words its masks have, negative.
    if (!ask()) return null;
    const words = -settings.members.getInt8(MASK_WORDS_OFFSET);
    if (words <= 0 || words > MASK_WORDS_LIMIT) return null;
    settings.members.setUint32(0, ETHTOOL_GLINKSETTINGS, true);
    settings.members.setInt8(MASK_WORDS_OFFSET, words);
    return ask() ? bitsOf(settings.members, words) : null;
  });
};

/**
 * The address that was burned into the card, in lower case with colons, whatever it goes by now; null if its driver does not
 * know one, as for bonds, VLANs and virtual cables.
 */
export type PermanentAddress = (interfaceName: string) => string | null;

export const realPermanentAddress: PermanentAddress = (interfaceName) => {
  const answer = structure(ADDRESS_OFFSET + MOST_ADDRESS_BYTES);
  return askDriver(interfaceName, answer.bytes, (ask) => {
    answer.members.setUint32(0, ETHTOOL_GPERMADDR, true);
    answer.members.setUint32(ADDRESS_LENGTH_OFFSET, MOST_ADDRESS_BYTES, true);
    if (!ask()) return null;
    const length = Math.min(answer.members.getUint32(ADDRESS_LENGTH_OFFSET, true), MOST_ADDRESS_BYTES);
    const address = answer.bytes.subarray(ADDRESS_OFFSET, ADDRESS_OFFSET + length);
    return address.some((byte) => byte !== 0) ? (address.toHex().match(/../g) ?? []).join(":") : null;
  });
};

/** Runs `work` with a function that puts the question in `data` to the driver, and the answer there; false: refused. */
function askDriver<T>(
  interfaceName: string,
  data: Uint8Array,
  work: (ask: () => boolean) => T | null,
): T | null {
  const name = new TextEncoder().encode(interfaceName);
  if (name.length >= NAME_SIZE) return null;
  using libc = openLibC();
  const socket = libc.socket(AF_INET, SOCK_DGRAM, 0);
  if (socket < 0) return null;
  try {
    const request = structure(REQUEST_SIZE);
    request.bytes.set(name);
    request.members.setBigUint64(NAME_SIZE, addressOf(data), true);
    return work(() => libc.ioctl(socket, SIOCETHTOOL, request.bytes) >= 0);
  } finally {
    libc.close(socket);
  }
}

/** The bits set in the first mask, that of the supported modes. */
function bitsOf(settings: DataView, words: number): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < words * 32; bit++) {
    const word = settings.getUint32(SETTINGS_SIZE + 4 * Math.floor(bit / 32), true);
    if ((word >>> (bit % 32)) & 1) bits.push(bit);
  }
  return bits;
}

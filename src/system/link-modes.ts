// What a network card's port can do, asked from its driver by the ethtool ioctl: sysfs shows only the speed
// of the moment, and nothing without a cable.

import { addressOf, openLibC, structure } from "./libc.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GLINKSETTINGS = 0x4c;

/** Bytes of an interface's name in struct ifreq, and of the structure. */
const NAME_SIZE = 16;
const REQUEST_SIZE = 40;
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
  const name = new TextEncoder().encode(interfaceName);
  if (name.length >= NAME_SIZE) return null;
  using libc = openLibC();
  const socket = libc.socket(AF_INET, SOCK_DGRAM, 0);
  if (socket < 0) return null;
  try {
    const settings = structure(SETTINGS_SIZE + 3 * 4 * MASK_WORDS_LIMIT);
    settings.members.setUint32(0, ETHTOOL_GLINKSETTINGS, true);
    const request = structure(REQUEST_SIZE);
    request.bytes.set(name);
    request.members.setBigUint64(NAME_SIZE, addressOf(settings.bytes), true);
    // The kernel answers the first call with the number of words its masks have, negative.
    if (libc.ioctl(socket, SIOCETHTOOL, request.bytes) < 0) return null;
    const words = -settings.members.getInt8(MASK_WORDS_OFFSET);
    if (words <= 0 || words > MASK_WORDS_LIMIT) return null;
    settings.members.setUint32(0, ETHTOOL_GLINKSETTINGS, true);
    settings.members.setInt8(MASK_WORDS_OFFSET, words);
    if (libc.ioctl(socket, SIOCETHTOOL, request.bytes) < 0) return null;
    return bitsOf(settings.members, words);
  } finally {
    libc.close(socket);
  }
};

/** The bits set in the first mask, that of the supported modes. */
function bitsOf(settings: DataView, words: number): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < words * 32; bit++) {
    const word = settings.getUint32(SETTINGS_SIZE + 4 * Math.floor(bit / 32), true);
    if ((word >>> (bit % 32)) & 1) bits.push(bit);
  }
  return bits;
}

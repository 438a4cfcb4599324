// Handing a machine over to its tenant in rescue mode: the password of the user `rescue` goes where the ramdisk's own rescue service
// waits for it, and a marker tells an agent that is started again to leave the machine alone.
// Source: control-plane specification 9.1 and 1.6, conductor contract 3.2.

import { CommandExecutionError, errorText } from "../errors.ts";
import type { System } from "../system/system.ts";
import { randomSalt, sha512Crypt } from "./sha512-crypt.ts";

/** Made by the image builder; a unit of the ramdisk watches for the file. */
const PASSWORD_FILE = "/etc/ipa-rescue-config/ipa-rescue-password";
/** The service units of ramdisks know it, too. It goes with the ramdisk at the next boot. */
const RESCUED = "/etc/.rescued";

/**
 * Stores the password's hash: `password` itself if it is `hashed` already, as conductors since Ussuri send it.
 * @throws CommandExecutionError when it cannot be written, most likely because the ramdisk has no rescue service.
 */
export async function storeRescuePassword(system: System, password: string, hashed: boolean): Promise<void> {
  const stored = hashed ? password : sha512Crypt(password, randomSalt());
  if (password === "")
    system.log.warning("The rescue password is empty: whoever reaches the machine gets in");
  try {
    await system.files.write(PASSWORD_FILE, stored, 0o600);
  } catch (error) {
    throw new CommandExecutionError(
      `The rescue password could not be stored: ${errorText(error)}. Does this ramdisk support rescue? Its image must ` +
        "have the directory /etc/ipa-rescue-config and a service that makes the user from it.",
      { cause: error },
    );
  }
}

/** From now on an agent that is started again serves nothing. A failure is only logged: the password is set by now. */
export async function markRescued(system: System): Promise<void> {
  try {
    await system.files.write(RESCUED, "");
  } catch (error) {
    system.log.warning(
      `${RESCUED} could not be written, so an agent that is started again will serve its API to the tenant's network`,
      error,
    );
  }
}

export async function isRescued(system: System): Promise<boolean> {
  return (await system.files.kind(RESCUED)) !== null;
}

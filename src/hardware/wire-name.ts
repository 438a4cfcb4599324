// What the reference calls a manager's method: operators and authors of executable plug-ins know that name.

/** listBlockDevices → list_block_devices. */
export function wireName(method: string): string {
  const snake = method.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return snake.replace("_v6_address", "_v6address");
}

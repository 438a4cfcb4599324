// Many small pieces of work beside each other, but not all at once: machines have thousands of disks and memory blocks, and a process
// has a limit of open files. A leaf, like json.ts.

/** Pieces of work that only read a few small files. */
const AT_ONCE = 32;

/** What `work` makes of each item, in their order. @throws what the first failed one threw; then no further ones are begun */
export async function mapLimited<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
  atOnce = AT_ONCE,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const worker = async () => {
    for (let index = next++; index < items.length && !failed; index = next++) {
      try {
        results[index] = await work(items[index] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}

/** A lease in Redis runs out by the clock of Redis, which no test can move. */
export function passInRealTime(ms: number): Promise<void> {
  return Bun.sleep(ms);
}

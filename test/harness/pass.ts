/** Lets real time pass, where what is to be shown is that nothing happens meanwhile. */
export function pass(ms: number): Promise<void> {
  return Bun.sleep(ms);
}

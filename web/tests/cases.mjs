// Runs the cases of a suite one after the other, tells how each went, and counts those that failed.

/**
 * The arguments of the program are parts of names, and choose among the cases. `run` is given a case; `about` gives lines on
 * where one failed, `after` clears away what it left, however it went. Where `inOrder`, each case goes on where the one before
 * came to: all are run, until one fails.
 */
export async function runCases(cases, { run = (one) => one(), about = () => [], after = () => undefined, inOrder = false } = {}) {
  const wanted = inOrder ? [] : process.argv.slice(2);
  const chosen = Object.entries(cases).filter(([name]) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  const seconds = (began) => `[${Math.round((performance.now() - began) / 1000)} s]`;
  const beganAll = performance.now();
  let failed = 0;
  for (const [name, one] of chosen) {
    const began = performance.now();
    try {
      const note = await run(one);
      console.log(`ok    ${name}${note ? ` (${note})` : ''} ${seconds(began)}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}: ${error.stack ?? error} ${seconds(began)}`);
      for (const line of await about()) console.log(`      ${line}`);
    }
    await after();
    if (inOrder && failed > 0) break;
  }
  console.log(`${chosen.length - failed} of ${chosen.length} passed ${seconds(beganAll)}`);
  return chosen.length === 0 ? 1 : failed;
}

/** The last lines of something's log, for `about`. */
export const lastLines = (whose, log, count = 8) => log.trim().split('\n').slice(-count).filter(Boolean).map((line) => `${whose}: ${line}`);

/** Runs many command lines one after the other in this process, as starting one for each takes most of the time. Read by usage.test.ts. */
import { readFileSync } from 'node:fs';
import { runCommandLine } from '../../src/cli/program.ts';

// As main.ts has it.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

const lines = JSON.parse(readFileSync(0, 'utf8')) as string[][];
const write = process.stdout.write.bind(process.stdout);
process.stdout.setMaxListeners(0);
process.stderr.setMaxListeners(0);
const outcomes: { status: number; stdout: string; stderr: string }[] = [];
for (const args of lines) {
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].write = (chunk: string | Uint8Array, done?: unknown) => {
      said[name] += Buffer.from(chunk as string).toString('utf8');
      if (typeof done === 'function') (done as () => void)();
      return true;
    };
  }
  outcomes.push({ status: await runCommandLine(args), ...said });
}
write(JSON.stringify(outcomes), () => process.exit(0));

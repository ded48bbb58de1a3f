/**
 * The process of one case: a fresh V8 for each, so that no case has the heap, the compiled code or the open connections of
 * another. Started by {@link CaseProcess} alone.
 */

import type { CaseMessage, CaseOrder } from './case-process.ts';
import type { CaseRunner, CaseSpec, World } from './case-spec.ts';
import { measure, quantile } from './measurement.ts';

const tell = (message: CaseMessage): Promise<void> =>
  new Promise((resolve, reject) => {
    process.send?.(message, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });

const orders: CaseOrder[] = [];
let wake: (() => void) | undefined;
process.on('message', (order: CaseOrder) => {
  orders.push(order);
  wake?.();
});

/** Without the harness there is nobody to work for. */
const abandoned = (): void => process.exit(1);
process.once('disconnect', abandoned);

async function nextOrder<T extends CaseOrder['type']>(type: T): Promise<Extract<CaseOrder, { type: T }>> {
  while (orders.length === 0) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  const order = orders.shift() as CaseOrder;
  if (order.type !== type) throw new Error(`told to ${order.type} when it was time to ${type}`);
  return order as Extract<CaseOrder, { type: T }>;
}

let runner: CaseRunner | undefined;
try {
  const { spec, world, objectLength, verify } = await nextOrder('prepare');
  runner = await runnerOf(spec, world, objectLength);
  await runner.run(spec.warmUp);
  if (verify) {
    await runner.check();
    await tell({ type: 'verified' });
  } else {
    await tell({ type: 'ready' });
    await nextOrder('go');
    const measured = await measure(() => (runner as CaseRunner).run(spec.size));
    const { latencies = [] } = runner;
    const latency =
      latencies.length === 0 ? undefined : { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
    await tell({ type: 'measured', measured: { ...measured, latency } });
  }
} catch (error) {
  await tell({ type: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
} finally {
  await runner?.close();
  process.off('disconnect', abandoned);
  if (process.connected) process.disconnect();
}

/** Only what the case needs is loaded: the SDK is none of a cipher loop's memory. */
async function runnerOf(spec: CaseSpec, world: World, objectLength: number): Promise<CaseRunner> {
  switch (spec.kind) {
    case 'cipher':
      return (await import('./cases/cipher-loop.ts')).cipherLoop(spec);
    case 'stream':
      return (await import('./cases/crypto-stream.ts')).cryptoStream(spec);
    case 'upload':
      return (await import('./cases/upload.ts')).uploadCase(spec, world);
    case 'download':
      return (await import('./cases/download.ts')).downloadCase(spec, world);
    case 'small-objects':
      return (await import('./cases/small-objects.ts')).smallObjectsCase(spec, world);
    case 'ranges':
      return (await import('./cases/ranged-reads.ts')).rangedReadsCase(spec, world, objectLength);
  }
}

/** The worker thread: seals parts and, where asked, sends them. Started by {@link WorkerPool} alone. */
import { parentPort } from 'node:worker_threads';
import { SealpipeError } from '../../errors.ts';
import { PartSealer } from './part-sealer.ts';
import { type RunningSend, sendPart } from './part-sender.ts';
import type { FromWorker, SendTask, ToWorker, WorkerError } from './worker-protocol.ts';

const port = parentPort;
if (port === null) throw new Error('internal error: part-worker is no main program');

const sealers = new Map<number, PartSealer>();
const sends = new Map<number, RunningSend & { session: number }>();

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'open':
      sealers.set(message.session, new PartSealer(message));
      return;
    case 'seal':
      settle(message.task, async () => sealerOf(message.session).seal(message));
      return;
    case 'send':
      settle(message.task, () => send(message));
      return;
    case 'cancel':
      sends.get(message.task)?.cancel();
      return;
    case 'close':
      for (const running of sends.values()) if (running.session === message.session) running.cancel();
      sealers.get(message.session)?.close();
      sealers.delete(message.session);
      return;
  }
});

function sealerOf(session: number): PartSealer {
  const sealer = sealers.get(session);
  if (sealer === undefined) throw new SealpipeError('ABORTED', 'the upload has ended');
  return sealer;
}

async function send({ task, session, memory, length, request }: SendTask): Promise<unknown> {
  const running = sendPart(request, Buffer.from(memory, 0, length));
  sends.set(task, { ...running, session });
  try {
    return await running.answer;
  } finally {
    sends.delete(task);
  }
}

function settle(task: number, run: () => Promise<unknown>): void {
  const answer = (message: FromWorker): void => port?.postMessage(message);
  run().then(
    (value) => answer({ task, ok: true, value }),
    (error: unknown) => answer({ task, ok: false, error: describe(error) }),
  );
}

function describe(error: unknown): WorkerError {
  const { name = 'Error', code, message = String(error) } = error as { name?: string; code?: string; message?: string };
  return { sealpipe: error instanceof SealpipeError, name, code, message };
}

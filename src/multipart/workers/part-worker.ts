/** The worker thread: seals and sends parts, fetches and opens ranges. Started by {@link WorkerPool} alone. */
import { parentPort, workerData } from 'node:worker_threads';
import { SealpipeError } from '../../errors.ts';
import { applyNetworkSettings, type NetworkSettings } from './network-settings.ts';
import { touchPages } from './page-touch.ts';
import { PartSealer } from './part-sealer.ts';
import { sendPart } from './part-sender.ts';
import { RangeOpener } from './range-opener.ts';
import { receiveRange } from './range-receiver.ts';
import type {
  FetchResult,
  FetchTask,
  FromWorker,
  RawAnswer,
  SealOutcome,
  SealTask,
  SendTask,
  ToWorker,
  WorkerError,
} from './worker-protocol.ts';

const port = parentPort;
if (port === null) throw new Error('internal error: part-worker is no main program');

applyNetworkSettings(workerData as NetworkSettings);

const sealers = new Map<number, PartSealer>();
const openers = new Map<number, RangeOpener>();
/** Requests under way, by task. */
const running = new Map<number, { readonly session: number; cancel(): void }>();

/** Parts that are made now, or wait for it. */
let sealing = 0;

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'open':
      sealers.set(message.session, new PartSealer(message));
      return;
    case 'seal':
      settle(message.task, () => seal(message));
      return;
    case 'touch':
      // A part's own pages are made as it is written: nothing is gained by keeping it waiting for those of others.
      settle(message.task, () => touchPages(message.memory, () => sealing > 0));
      return;
    case 'send':
      settle(message.task, () => send(message));
      return;
    case 'open-reading':
      openers.set(message.session, new RangeOpener(message));
      return;
    case 'unseal':
      settle(message.task, async () => openerOf(message.session).unseal(message));
      return;
    case 'fetch':
      settle(message.task, () => fetchRange(message));
      return;
    case 'cancel':
      running.get(message.task)?.cancel();
      return;
    case 'close':
      for (const request of running.values()) if (request.session === message.session) request.cancel();
      sealers.get(message.session)?.close();
      sealers.delete(message.session);
      openers.get(message.session)?.close();
      openers.delete(message.session);
      return;
  }
});

function sealerOf(session: number): PartSealer {
  const sealer = sealers.get(session);
  if (sealer === undefined) throw new SealpipeError('ABORTED', 'the upload has ended');
  return sealer;
}

function openerOf(session: number): RangeOpener {
  const opener = openers.get(session);
  if (opener === undefined) throw new SealpipeError('ABORTED', 'the download has ended');
  return opener;
}

async function seal(task: SealTask): Promise<SealOutcome> {
  sealing += 1;
  try {
    return await sealerOf(task.session).seal(task);
  } finally {
    sealing -= 1;
  }
}

async function send({ task, session, memory, length, request }: SendTask): Promise<RawAnswer> {
  // Nothing ends a send that begins after its upload has ended.
  sealerOf(session);
  return untilAnswered(task, session, sendPart(request, Buffer.from(memory, 0, length)));
}

/** A broken connection is a result: how much has arrived matters then. */
async function fetchRange(message: FetchTask): Promise<FetchResult> {
  const { task, session, range, length, trailerLength, request, contentRange, etag, idleTimeout } = message;
  const opener = openerOf(session);
  const nothing = { trailer: undefined, answer: undefined, failure: undefined };
  try {
    const receive = receiveRange(request, {
      length: length + trailerLength - opener.received(range),
      contentRange,
      etag,
      idleTimeout,
      // Closed meanwhile: what still arrives is for nobody.
      take: (chunk) => openerOf(session).take(message, chunk),
    });
    const answer = await untilAnswered(task, session, receive);
    if (answer !== undefined) return { ...nothing, received: opener.received(range), answer };
    return { ...nothing, received: length + trailerLength, trailer: openerOf(session).end(message) };
  } catch (error) {
    if (error instanceof SealpipeError) throw error;
    return { ...nothing, received: opener.received(range), failure: describe(error) };
  }
}

async function untilAnswered<T>(
  task: number,
  session: number,
  request: { readonly answer: Promise<T>; cancel(): void },
): Promise<T> {
  running.set(task, { session, cancel: () => request.cancel() });
  try {
    return await request.answer;
  } finally {
    running.delete(task);
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
  const { name = 'Error', code, message = String(error), cause } = error as Partial<NodeJS.ErrnoException>;
  return {
    sealpipe: error instanceof SealpipeError,
    name,
    code,
    message,
    cause: cause instanceof Error ? describe(cause) : undefined,
  };
}

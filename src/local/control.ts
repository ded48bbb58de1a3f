/**
 * `/_sealpipe`: says what this is, and, where switched on, gives other processes the log and the fault rules.
 * No bucket can have such a name, so nothing of S3 is hidden by it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FaultRule, FaultRules } from './faults.ts';
import type { RequestRecorder } from './request-log.ts';

const controlPath = '/_sealpipe';

/** What `GET /_sealpipe` says. */
export interface EndpointDescription {
  readonly product: 'sealpipe local';
  readonly version: string;
  readonly region: string;
  readonly accountId: string;
  readonly services: readonly ['s3', 'kms'];
  /** Whether the log and the fault rules can be reached. */
  readonly control: boolean;
}

export interface ControlOptions {
  readonly description: EndpointDescription;
  readonly recorder: RequestRecorder;
  readonly faults: FaultRules;
}

interface ControlAnswer {
  readonly status: number;
  readonly type?: string;
  readonly body?: string;
}

const maximumBytes = 1024 * 1024;

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maximumBytes) throw new TypeError(`the body is longer than ${maximumBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function json(value: unknown): ControlAnswer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value)}\n` };
}

function requests(options: ControlOptions, method: string): ControlAnswer {
  if (method === 'DELETE') {
    options.recorder.clear();
    return { status: 204 };
  }
  const lines = options.recorder.all().map((entry) => `${JSON.stringify(entry)}\n`);
  return { status: 200, type: 'application/x-ndjson', body: lines.join('') };
}

async function faults(options: ControlOptions, request: IncomingMessage): Promise<ControlAnswer> {
  if (request.method === 'DELETE') {
    options.faults.clear();
    return { status: 204 };
  }
  if (request.method === 'PUT') {
    const given: unknown = JSON.parse(await readText(request));
    options.faults.set((Array.isArray(given) ? given : [given]) as FaultRule[]);
  }
  return json(options.faults.installed.map(({ rule, hits }) => ({ ...rule, hits })));
}

async function answer(options: ControlOptions, request: IncomingMessage): Promise<ControlAnswer> {
  const path = (request.url ?? '').replace(/\?.*/, '');
  const method = request.method ?? '';
  if (path === controlPath && method === 'GET') return json(options.description);
  const allowed: Readonly<Record<string, readonly string[]>> = {
    [controlPath]: ['GET'],
    [`${controlPath}/requests`]: ['GET', 'DELETE'],
    [`${controlPath}/faults`]: ['GET', 'PUT', 'DELETE'],
  };
  const methods = allowed[path];
  if (methods === undefined) return { status: 404, body: `${path} is not there\n` };
  if (!methods.includes(method)) return { status: 405, body: `${path} takes ${methods.join(', ')}\n` };
  if (!options.description.control)
    return { status: 403, body: 'control is switched off: start the endpoint with it on\n' };
  return path.endsWith('requests') ? requests(options, method) : faults(options, request);
}

/** Whether a request is about the endpoint itself. */
export function isControlRequest(request: IncomingMessage): boolean {
  return /^\/_sealpipe(?:[/?]|$)/.test(request.url ?? '');
}

/** Answers a request about the endpoint itself. It is not logged, and no fault rule strikes it. */
export async function answerControl(
  options: ControlOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let result: ControlAnswer;
  try {
    result = await answer(options, request);
  } catch (problem) {
    // A rule or a document that makes no sense is the only thing that can fail here.
    result = { status: 400, body: `${problem instanceof Error ? problem.message : String(problem)}\n` };
  }
  request.resume();
  response.writeHead(result.status, { 'content-type': result.type ?? 'text/plain; charset=utf-8' });
  response.end(result.body);
}

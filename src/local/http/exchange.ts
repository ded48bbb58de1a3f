/** One request and its answer, from the first look at it to its line in the log. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { AuthenticationProblem } from '../auth/authentication-problem.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import { readClaim } from '../auth/claim.ts';
import type { AppliedFault, FaultRules, FaultSubject } from '../faults.ts';
import type { RequestLogEntry, RequestRecorder } from '../request-log.ts';
import { type Answer, closeBody, type Sending, sendAnswer } from './answer.ts';
import type { Pace } from './pace.ts';
import { ConnectionGone, RequestBody } from './request-body.ts';
import type { RequestHead } from './request-head.ts';

/** What an endpoint gives to each of its exchanges. */
export interface ExchangeSettings {
  readonly authenticator: Authenticator;
  readonly recorder: RequestRecorder;
  readonly faults: FaultRules;
  /** Milliseconds before anything is done about a request. */
  readonly latency: number;
  readonly hashBodies: boolean;
}

/** What belongs to a connection. */
export interface Connection {
  readonly number: number;
  readonly up: Pace | undefined;
  readonly down: Pace | undefined;
}

/** What a request turned out to be. */
export interface Subject extends FaultSubject {
  readonly service: 's3' | 'kms';
  readonly versionId?: string | undefined;
}

/** One of the two services, as an exchange uses it. */
export interface Service {
  /** Carries the request out. Whatever it throws is given to {@link failed}. */
  answer(exchange: Exchange): Promise<Answer>;
  /** The answer to a request that failed. */
  failed(exchange: Exchange, problem: unknown): Answer;
  /** The answer that a fault rule puts in place of another. */
  faulty(
    exchange: Exchange,
    fault: { readonly status: number; readonly code: string | undefined; readonly message: string | undefined },
  ): Answer;
}

const secretHeaders = /^(authorization|x-amz-security-token|cookie)$|-customer-key$/;

// The same in the query of a presigned URL.
const secretParameters = /\b(x-amz-security-token|x-amz-[a-z-]*-customer-key)=[^&]*/gi;

export class Exchange {
  readonly head: RequestHead;
  readonly subject: Subject;
  readonly body: RequestBody;
  readonly settings: ExchangeSettings;
  readonly requestId: string = randomBytes(8).toString('hex').toUpperCase();
  readonly hostId: string = randomBytes(48).toString('base64');
  /** For the log: what a KMS request was about. */
  kms: RequestLogEntry['kms'];
  readonly #response: ServerResponse;
  readonly #request: IncomingMessage;
  readonly #connection: Connection;
  readonly #fault: AppliedFault | undefined;
  readonly #id: number;
  readonly #startedAt = Date.now();
  readonly #started = performance.now();
  readonly #sending: Sending;
  #error: string | undefined;

  constructor(options: {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly expectsContinue: boolean;
    readonly connection: Connection;
    readonly head: RequestHead;
    readonly subject: Subject;
    readonly settings: ExchangeSettings;
  }) {
    const { request, response, connection, head, subject, settings } = options;
    this.#request = request;
    this.#response = response;
    this.#connection = connection;
    this.head = head;
    this.subject = subject;
    this.settings = settings;
    this.#id = settings.recorder.begin();
    this.#fault = settings.faults.strike(subject);
    const effect = this.#fault?.rule;
    const payload = head.headers.get('x-amz-content-sha256') ?? '';
    this.body = new RequestBody({
      request,
      response,
      expectsContinue: options.expectsContinue,
      // A signed hash must be compared, so it is computed in any case.
      hash: settings.hashBodies || /^[0-9a-f]{64}$/.test(payload),
      chunked: payload.startsWith('STREAMING-') || /\baws-chunked\b/i.test(head.headers.get('content-encoding') ?? ''),
      pace: connection.up,
      resetAfter: effect?.resetRequestAfter,
      stallAfter: effect?.stallRequestAfter,
      stallMs: effect?.stallMs,
    });
    this.#sending = { response, method: head.method, effect, pace: connection.down, bytesOut: 0 };
  }

  /** Sees the exchange through to its end. Never rejects. */
  async run(service: Service): Promise<void> {
    try {
      const answer = await this.#work(service);
      this.#error = answer.error;
      await sendAnswer(this.#sending, this.#complete(answer));
    } catch (problem) {
      // Nobody is left to be told; anything else would be a mistake in sending, and the client must not wait for ever.
      if (!(problem instanceof ConnectionGone)) this.#response.destroy();
    }
    await this.#over();
    this.#record();
  }

  async #work(service: Service): Promise<Answer> {
    const { latency } = this.settings;
    const effect = this.#fault?.rule;
    const delay = latency + (effect?.delay ?? 0);
    if (delay > 0) await sleep(delay);
    try {
      const instead = await this.#faultyAnswer(service);
      if (instead !== undefined) return instead;
      const answer = await service.answer(this);
      try {
        await this.#receiveRest();
      } catch (problem) {
        closeBody(answer);
        throw problem;
      }
      return answer;
    } catch (problem) {
      if (problem instanceof ConnectionGone) throw problem;
      await this.#receiveRest();
      return service.failed(this, problem);
    }
  }

  async #faultyAnswer(service: Service): Promise<Answer | undefined> {
    const effect = this.#fault?.rule;
    if (effect === undefined) return undefined;
    // Reading is what runs into this one; the operation must not come to its end before.
    if (effect.resetRequestAfter !== undefined) await this.body.drain({ evenIfWaiting: true });
    const { status, code, message } = effect;
    if (status !== undefined) {
      if (effect.early !== true) await this.body.drain({ evenIfWaiting: true });
      const answer = service.faulty(this, { status, code, message });
      const { retryAfter } = effect;
      return retryAfter === undefined
        ? answer
        : { ...answer, headers: { ...answer.headers, 'retry-after': String(retryAfter) } };
    }
    if (effect.errorIn200 === true) {
      await this.body.drain({ evenIfWaiting: true });
      return { ...service.faulty(this, { status: 500, code, message }), status: 200 };
    }
    return undefined;
  }

  // A body that is left unread keeps the connection from being used again, and the log from knowing it.
  async #receiveRest(): Promise<void> {
    if (this.#fault?.rule.early !== true) await this.body.drain();
  }

  #complete(answer: Answer): Answer {
    const ids =
      this.subject.service === 's3'
        ? { 'x-amz-request-id': this.requestId, 'x-amz-id-2': this.hostId }
        : { 'x-amzn-requestid': this.requestId };
    // The client was never given leave to send its body, or has not sent all of it: nothing more can be read of this connection.
    const close = this.body.complete || !this.#expectsBody() ? {} : { connection: 'close' };
    return { ...answer, headers: { server: 'sealpipe-local', ...ids, ...close, ...answer.headers } };
  }

  #expectsBody(): boolean {
    const { headers } = this.head;
    return headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > 0;
  }

  // An answer is over when it was sent or its connection has closed, whichever is first.
  async #over(): Promise<void> {
    const response = this.#response;
    if (response.writableFinished || response.destroyed || this.#request.socket.destroyed) return;
    const { socket } = this.#request;
    await new Promise<void>((resolve) => {
      const over = (): void => {
        // The connection outlives the answer, and would gather a listener with each.
        socket.off('close', over);
        resolve();
      };
      response.once('finish', over);
      response.once('close', over);
      socket.once('close', over);
    });
  }

  #accessKeyId(): string | undefined {
    try {
      return readClaim(this.head)?.accessKeyId;
    } catch (problem) {
      if (problem instanceof AuthenticationProblem) return undefined;
      throw problem;
    }
  }

  #record(): void {
    const { head, subject } = this;
    const { effect, bytesOut } = this.#sending;
    const range = head.headers.get('range');
    const accessKeyId = this.#accessKeyId();
    const sha256 = this.settings.hashBodies ? this.body.sha256() : undefined;
    const answered = this.#response.writableFinished && effect?.truncateAfter === undefined;
    const entry: RequestLogEntry = {
      id: this.#id,
      service: subject.service,
      operation: subject.operation,
      method: head.method,
      path: head.rawPath,
      query: head.rawQuery.replace(secretParameters, '$1=masked'),
      ...(subject.bucket === undefined ? {} : { bucket: subject.bucket }),
      ...(subject.key === undefined ? {} : { key: subject.key }),
      ...(subject.versionId === undefined ? {} : { versionId: subject.versionId }),
      ...(subject.uploadId === undefined ? {} : { uploadId: subject.uploadId }),
      ...(subject.partNumber === undefined ? {} : { partNumber: subject.partNumber }),
      ...(range === undefined ? {} : { range }),
      headers: Object.fromEntries([...head.headers].filter(([name]) => !secretHeaders.test(name))),
      ...(this.kms === undefined ? {} : { kms: this.kms }),
      ...(accessKeyId === undefined ? {} : { accessKeyId }),
      connection: this.#connection.number,
      status: this.#response.headersSent ? this.#response.statusCode : 0,
      ...(this.#error === undefined ? {} : { error: this.#error }),
      bytesIn: this.body.received,
      bytesOut,
      ...(sha256 === undefined ? {} : { bodySha256: sha256 }),
      complete: this.body.complete || !this.#expectsBody(),
      answered,
      ...(this.#fault === undefined ? {} : { fault: this.#fault.label }),
      requestId: this.requestId,
      startedAt: this.#startedAt,
      milliseconds: performance.now() - this.#started,
    };
    this.settings.recorder.end(entry);
  }
}

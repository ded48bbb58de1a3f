/**
 * Signatures for the parts of one upload. The first part's request is made by the caller's client; the others are made after its example,
 * with number, checksum and signature of their own.
 *
 * The SDK puts its middleware together anew for each request. Where parts are sent by workers that is most of what the calling
 * thread has to do for one, and most of its garbage: on Node 20 some 13 KiB a part of hidden classes, which V8 11.3 makes for
 * every object literal that spreads another, straight in the old generation, and their descriptors, which survive with them.
 */
import type { S3Client } from '@aws-sdk/client-s3';
import { identityOf, timeOf } from '../requests/client-identity.ts';
import { isSamePlace, placeOf } from '../requests/client-standing.ts';
import { isUntouchedClient } from '../requests/plain-client.ts';
import {
  type CaughtRequest,
  fillTemplate,
  learnTemplate,
  maxLessons,
  type RequestParts,
  type RequestTemplate,
} from '../requests/request-template.ts';
import { signingTimestamp } from '../requests/signature.ts';
import type { TunableCommand } from '../s3-command.ts';
import { catchSigned, connectTimeoutOf, signByClient, signedRequest } from './request-signer.ts';
import type { SignedRequest } from './workers/worker-protocol.ts';

/** What differs from part to part. */
export interface PartToSign {
  /** From 1. */
  readonly number: number;
  readonly bytes: Uint8Array;
  /** As `x-amz-checksum-crc32` has it. */
  readonly checksum: string;
}

/** How the requests of an upload's parts are made. */
interface PartExample {
  readonly template: RequestTemplate;
  /** Where they go. */
  readonly place: Pick<SignedRequest, 'protocol' | 'hostname' | 'port'>;
  /** What of the client that follows from. */
  readonly standing: readonly unknown[];
}

export class PartSigner {
  readonly #client: S3Client;
  #example: PartExample | undefined;
  #lessons = 0;
  /** What is being learned now, or was last. */
  #lesson: Promise<void> | undefined;

  constructor(client: S3Client) {
    this.#client = client;
  }

  /**
   * The request for one send of a part, without its body.
   * @param command the same request for the client
   */
  async sign(part: PartToSign, command: () => TunableCommand): Promise<SignedRequest> {
    const untouched = isUntouchedClient(this.#client);
    // Those that come together with the first wait for its example: made by the client one after the other, they would take longer.
    if (untouched && this.#example === undefined) await this.#lesson;
    const [identity, standing] =
      untouched && this.#example !== undefined
        ? await Promise.all([identityOf(this.#client), placeOf(this.#client)])
        : [];
    // Endpoint and region can be functions of the caller's, and an upload can take hours.
    if (identity !== undefined && !isSamePlace(standing, this.#example?.standing)) this.#example = undefined;
    if (this.#example === undefined || identity === undefined) {
      if (!untouched || this.#example !== undefined || this.#lessons >= maxLessons)
        return signByClient(this.#client, command());
      this.#lessons += 1;
      const signing = catchSigned(this.#client, command());
      this.#lesson = signing.then((caught) => this.#learn(part, caught)).catch(() => undefined);
      return signedRequest(await signing, connectTimeoutOf(this.#client));
    }
    const {
      template,
      place: { protocol, hostname, port },
    } = this.#example;
    const own = fillTemplate({ ...template, query: queryOf(template, part.number) }, partsOf(part), {
      identity,
      timestamp: signingTimestamp(timeOf(this.#client)),
    });
    return {
      protocol,
      hostname,
      port,
      method: own.method,
      path: own.path,
      headers: headersOf(own.headers),
      connectTimeout: connectTimeoutOf(this.#client),
    };
  }

  async #learn(part: PartToSign, caught: CaughtRequest): Promise<void> {
    const [identity, standing] = await Promise.all([identityOf(this.#client), placeOf(this.#client)]);
    const template = identity && learnTemplate(caught, partsOf(part), identity);
    if (template !== undefined && standing !== undefined && partNumberOf(template) === String(part.number))
      this.#example ??= { template, place: signedRequest(caught), standing };
  }
}

function partsOf({ bytes, checksum }: PartToSign): RequestParts {
  return { headers: [['x-amz-checksum-crc32', checksum]], body: bytes };
}

const partNumber = /(?<=^|&)partNumber=(\d+)(?=&|$)/;

function partNumberOf({ query }: RequestTemplate): string | undefined {
  return partNumber.exec(query)?.[1];
}

/** The query with another part's number in it. */
function queryOf({ query }: RequestTemplate, number: number): string {
  return query.replace(partNumber, `partNumber=${number}`);
}

function headersOf(pairs: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < pairs.length; i += 2) headers[pairs[i] as string] = pairs[i + 1] as string;
  return headers;
}

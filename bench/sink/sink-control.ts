/** A sink's control interface, as far as it has one: any S3 can be benchmarked, but only a sink counts and can be slowed down. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import type { ServedObjectDefinition } from './served-objects.ts';
import type { SinkStats } from './tally.ts';

/** What a sink is slowed down to. */
export interface SinkPace {
  /** Milliseconds before each answer. */
  readonly latency: number;
  /** MB (10^6 bytes) a second of each connection, in each direction; 0 for any. */
  readonly megabytesPerSecond: number;
}

export const unpaced: SinkPace = { latency: 0, megabytesPerSecond: 0 };

export class SinkControl {
  readonly #endpoint: string;
  readonly #ca: string | undefined;

  /** @param ca PEM of the authority of an HTTPS endpoint's certificate */
  constructor(endpoint: string, ca?: string) {
    this.#endpoint = endpoint;
    this.#ca = ca;
  }

  /** Whether anything answers here as a sink does. */
  async exists(): Promise<boolean> {
    const answer = await this.#ask('GET', '/_stats').catch(() => '');
    return answer.includes('"serverCpuSeconds"');
  }

  async reset(): Promise<void> {
    await this.#ask('GET', '/_reset');
  }

  async stats(): Promise<SinkStats> {
    return JSON.parse(await this.#ask('GET', '/_stats')) as SinkStats;
  }

  async setPace({ latency, megabytesPerSecond }: SinkPace): Promise<void> {
    await this.#ask('GET', `/_set?latency_ms=${latency}&cap_mbps=${megabytesPerSecond}`);
  }

  /** @returns false where it does not take definitions: the object has to be uploaded then */
  async define(key: string, definition: ServedObjectDefinition): Promise<boolean> {
    return (await this.#ask('PUT', `/_object/${key}`, JSON.stringify(definition))) === '{}';
  }

  async #ask(method: string, path: string, body = ''): Promise<string> {
    const url = new URL(path, this.#endpoint);
    const options = { method, agent: false, headers: { 'Content-Length': Buffer.byteLength(body) } } as const;
    return new Promise((resolve, reject) => {
      const request =
        url.protocol === 'https:' ? httpsRequest(url, { ...options, ca: this.#ca }) : httpRequest(url, options);
      request.once('error', reject);
      request.once('response', (response) => {
        text(response).then(resolve, reject);
      });
      request.end(body);
    });
  }
}

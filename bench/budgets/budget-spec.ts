/** What the requests of a reader are held to: scenarios, their budgets, and what others need for the same. */
import type { BudgetPlace } from './place.ts';

/** What reached the services. */
export interface RequestCounts {
  readonly get: number;
  readonly head: number;
  readonly list: number;
  readonly kms: number;
  /** Whatever else, which no budget allows. */
  readonly other: number;
  /** Bytes of the bodies that S3 answered. */
  readonly bytes: number;
}

/** The reader that needs the fewest requests for the same of a plaintext object, of those measured; it calls no KMS. */
export interface OtherReader {
  readonly name: string;
  /** HEAD and GET together. */
  readonly requests: number;
  readonly bytes: number;
}

/** The most that is allowed. */
export type RequestBudget = Pick<RequestCounts, 'get' | 'head' | 'list' | 'kms'>;

export interface BudgetScenario {
  /** `budgets/<id>`, which `--only` looks at. */
  readonly name: string;
  readonly title: string;
  readonly budget: RequestBudget;
  readonly other?: OtherReader;
  /** Puts in place what is read. Nothing of it counts. */
  readonly prepare: (place: BudgetPlace) => Promise<unknown>;
  /** What counts; throws where it does not find what is there. */
  readonly run: (place: BudgetPlace) => Promise<void>;
}

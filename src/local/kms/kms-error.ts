import type { Answer } from '../http/answer.ts';

/** An error as AWS KMS answers it. */
export class KmsError extends Error {
  /** E.g. `NotFoundException`. */
  readonly code: string;
  readonly status: number;

  constructor(code: string, message?: string, options: { readonly status?: number; readonly cause?: unknown } = {}) {
    super(message ?? '', options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? 400;
  }
}

export function notFound(message: string): KmsError {
  return new KmsError('NotFoundException', message);
}

export function validation(message: string): KmsError {
  return new KmsError('ValidationException', message);
}

/** The document of an error. Some of KMS's have no message at all. */
function kmsErrorDocument(error: { readonly code: string; readonly message: string }): string {
  return JSON.stringify(error.message === '' ? { __type: error.code } : { __type: error.code, message: error.message });
}

export function kmsErrorAnswer(error: {
  readonly code: string;
  readonly message: string;
  readonly status: number;
}): Answer {
  return {
    status: error.status,
    headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-errortype': error.code },
    body: kmsErrorDocument(error),
    error: error.code,
  };
}

/** What KMS calls a status, where a fault rule names none. */
export function defaultKmsCode(status: number): string {
  if (status === 400 || status === 429) return 'ThrottlingException';
  if (status === 403) return 'AccessDeniedException';
  if (status === 503 || status === 504) return 'DependencyTimeoutException';
  return 'KMSInternalException';
}

export function defaultKmsMessage(code: string): string {
  const usual: Readonly<Record<string, string>> = {
    ThrottlingException: 'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.',
    AccessDeniedException: 'User is not authorized to perform this operation',
    DependencyTimeoutException: 'The system timed out while trying to fulfill the request.',
    KMSInternalException: 'The request was rejected because an internal exception occurred.',
  };
  return usual[code] ?? code;
}

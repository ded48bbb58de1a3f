/** The two services behind one port: which one a request is for, and how each answers. */
import { AuthenticationProblem } from '../auth/authentication-problem.ts';
import { sha256Hex } from '../auth/sigv4.ts';
import type { KmsKeys } from '../kms/keys.ts';
import { defaultKmsCode, defaultKmsMessage, KmsError, kmsErrorAnswer } from '../kms/kms-error.ts';
import { answerKms, kmsOperationName, kmsTargetPrefix, loggedParameters, maximumKmsBytes } from '../kms/service.ts';
import { S3Call, type S3Service } from '../s3/call.ts';
import { type IdentifiedOperation, identifyOperation } from '../s3/operations.ts';
import { defaultS3Code, defaultS3Message, errorAnswer, S3Error } from '../s3/s3-error.ts';
import { answerS3, readTarget, type S3Target } from '../s3/service.ts';
import type { Answer } from './answer.ts';
import { FramingProblem } from './aws-chunked.ts';
import type { Exchange, Service, Subject } from './exchange.ts';
import { BodyTooLarge } from './request-body.ts';
import { type RequestHead, UriProblem } from './request-head.ts';

/** A request that was recognised. */
export interface Recognised {
  readonly subject: Subject;
  readonly service: Service;
}

/** Recognises a request, whatever it is; what makes no sense is answered by the service it seems to be for. */
export function recognise(head: RequestHead, s3: S3Service): Recognised {
  const target = head.headers.get('x-amz-target');
  if (target?.startsWith(kmsTargetPrefix) === true) {
    return {
      subject: { service: 'kms', operation: kmsOperationName(target) },
      service: new KmsAnswers(s3.kms, target),
    };
  }
  return recogniseS3(head, s3, target);
}

function recogniseS3(head: RequestHead, s3: S3Service, foreignTarget: string | undefined): Recognised {
  let target: S3Target;
  try {
    target = readTarget(head);
  } catch (problem) {
    if (!(problem instanceof UriProblem)) throw problem;
    return refuse(new S3Error('InvalidURI', { fields: { URI: head.rawPath }, cause: problem }), s3);
  }
  if (foreignTarget !== undefined || head.headers.has('smithy-protocol')) {
    const what = foreignTarget === undefined ? `the protocol ${head.headers.get('smithy-protocol')}` : foreignTarget;
    return refuse(
      new S3Error('NotImplemented', {
        message: `${what} is not implemented by this local endpoint, which serves S3 and KMS.`,
      }),
      s3,
    );
  }
  const identified = identifyOperation(head, target.level);
  const query = new Map(head.parameters);
  const part = Number(query.get('partNumber') ?? Number.NaN);
  const subject: Subject = {
    service: 's3',
    operation: identified.name,
    ...(target.bucketName === '' ? {} : { bucket: target.bucketName }),
    ...(target.key === '' ? {} : { key: target.key }),
    uploadId: query.get('uploadId'),
    versionId: query.get('versionId'),
    partNumber: Number.isInteger(part) ? part : undefined,
  };
  return { subject, service: new S3Answers(s3, { target, identified }) };
}

function refuse(error: S3Error, s3: S3Service): Recognised {
  return { subject: { service: 's3', operation: 'Unknown' }, service: new S3Answers(s3, { error }) };
}

class S3Answers implements Service {
  readonly #s3: S3Service;
  readonly #request:
    | { readonly target: S3Target; readonly identified: IdentifiedOperation }
    | { readonly error: S3Error };

  constructor(
    s3: S3Service,
    request: { readonly target: S3Target; readonly identified: IdentifiedOperation } | { readonly error: S3Error },
  ) {
    this.#s3 = s3;
    this.#request = request;
  }

  async answer(exchange: Exchange): Promise<Answer> {
    if ('error' in this.#request) throw this.#request.error;
    const { target, identified } = this.#request;
    const { head, body } = exchange;
    const payload = payloadHash(head);
    const identity = exchange.settings.authenticator.verify(head, 's3', target.path, payload);
    if (identified.operation === undefined) {
      throw new S3Error('NotImplemented', { message: identified.refusal });
    }
    if (payload.startsWith('STREAMING-')) {
      if (payload.includes('ECDSA')) {
        throw new S3Error('NotImplemented', { message: `${payload} is not implemented by this local endpoint.` });
      }
      if (payload.startsWith('STREAMING-AWS4-HMAC') && body.chunked !== undefined) {
        body.chunked.signatures = identity.chunkSignatures();
      }
    }
    const call = new S3Call({ head, bucketName: target.bucketName, key: target.key, body, identity });
    return answerS3(this.#s3, call, identified.operation);
  }

  failed(exchange: Exchange, problem: unknown): Answer {
    const context = this.#context(exchange);
    if (problem instanceof S3Error) return errorAnswer(problem, context);
    if (problem instanceof AuthenticationProblem) {
      return errorAnswer({ ...problem.s3, message: problem.message }, context);
    }
    if (problem instanceof FramingProblem)
      return errorAnswer(new S3Error(problem.code, { message: problem.message }), context);
    const cause = problem instanceof Error ? problem.message : String(problem);
    return errorAnswer(
      new S3Error('InternalError', { message: `We encountered an internal error: ${cause}` }),
      context,
    );
  }

  faulty(exchange: Exchange, fault: { status: number; code: string | undefined; message: string | undefined }): Answer {
    const code = fault.code ?? defaultS3Code(fault.status);
    const message = fault.message ?? defaultS3Message(code);
    return errorAnswer({ code, message, status: fault.status }, this.#context(exchange));
  }

  #context(exchange: Exchange): { requestId: string; hostId: string; resource: string } {
    const { requestId, hostId, head } = exchange;
    return { requestId, hostId, resource: 'target' in this.#request ? this.#request.target.path : head.rawPath };
  }
}

/** What stands for the body in the signature of an S3 request. */
function payloadHash(head: RequestHead): string {
  const stated = head.headers.get('x-amz-content-sha256');
  if (stated !== undefined) return stated;
  const hoisted = head.parameters.find(([name]) => name.toLowerCase() === 'x-amz-content-sha256');
  if (hoisted !== undefined) return hoisted[1];
  if (head.headers.has('authorization')) {
    throw new S3Error('InvalidRequest', { message: 'Missing required header for this request: x-amz-content-sha256' });
  }
  return 'UNSIGNED-PAYLOAD';
}

class KmsAnswers implements Service {
  readonly #keys: KmsKeys;
  readonly #target: string;

  constructor(keys: KmsKeys, target: string) {
    this.#keys = keys;
    this.#target = target;
  }

  async answer(exchange: Exchange): Promise<Answer> {
    const { head } = exchange;
    const body = await exchange.body.bytes(maximumKmsBytes);
    exchange.kms = loggedParameters(body);
    const identity = exchange.settings.authenticator.verify(head, 'kms', '/', sha256Hex(body));
    return answerKms(this.#keys, identity, this.#target, body);
  }

  failed(_exchange: Exchange, problem: unknown): Answer {
    if (problem instanceof KmsError) return kmsErrorAnswer(problem);
    if (problem instanceof AuthenticationProblem) return kmsErrorAnswer({ ...problem.kms, status: 400 });
    if (problem instanceof BodyTooLarge)
      return kmsErrorAnswer(new KmsError('RequestEntityTooLargeException', problem.message, { status: 413 }));
    const cause = problem instanceof Error ? problem.message : String(problem);
    return kmsErrorAnswer({ code: 'KMSInternalException', message: cause, status: 500 });
  }

  faulty(
    _exchange: Exchange,
    fault: { status: number; code: string | undefined; message: string | undefined },
  ): Answer {
    const code = fault.code ?? defaultKmsCode(fault.status);
    return kmsErrorAnswer({ code, message: fault.message ?? defaultKmsMessage(code), status: fault.status });
  }
}

/** A request that was not authenticated. Both services' answers are worked out where the reason is known. */
export class AuthenticationProblem extends Error {
  readonly s3: { readonly code: string; readonly status: number; readonly fields?: Readonly<Record<string, string>> };
  readonly kms: { readonly code: string; readonly message: string };

  constructor(
    message: string,
    s3: { readonly code: string; readonly status: number; readonly fields?: Readonly<Record<string, string>> },
    kms: { readonly code: string; readonly message?: string },
  ) {
    super(message);
    this.s3 = s3;
    this.kms = { code: kms.code, message: kms.message ?? message };
  }
}

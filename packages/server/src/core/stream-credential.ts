/**
 * What an open stream keeps of the credential that it was opened with: enough to end it when that ends or is revoked,
 * and to know who may carry it on. Plain data, so that it travels between nodes.
 */
export interface StreamCredential {
  /** For the log; no secret. */
  readonly name: string;
  readonly userId: string | undefined;
  /** By which it can be revoked; undefined: it cannot. */
  readonly tokenId: string | undefined;
  /** Credentials that it was made from, by which it is revoked too. */
  readonly parentTokenIds: readonly string[];
  /** ms since 1970; -Infinity where nothing says it. */
  readonly issuedAtMs: number;
  /** undefined: it does not end by itself. */
  readonly expiresAtMs: number | undefined;
}

/** JSON has no -Infinity and no undefined. */
export type StreamCredentialJson = Omit<StreamCredential, 'issuedAtMs' | 'expiresAtMs'> & {
  readonly issuedAtMs: number | null;
  readonly expiresAtMs: number | null;
};

export function credentialToJson(credential: StreamCredential): StreamCredentialJson {
  const { issuedAtMs, expiresAtMs = null } = credential;
  return { ...credential, issuedAtMs: Number.isFinite(issuedAtMs) ? issuedAtMs : null, expiresAtMs };
}

export function credentialFromJson(json: StreamCredentialJson): StreamCredential {
  const { name, userId, tokenId, parentTokenIds } = json;
  return {
    name,
    userId,
    tokenId,
    parentTokenIds,
    issuedAtMs: json.issuedAtMs ?? Number.NEGATIVE_INFINITY,
    expiresAtMs: json.expiresAtMs ?? undefined,
  };
}

/** The closed list of reasons (R102, R103), in the order of the report's rows. */
export const enum Reason {
  Sampled,
  RateLimited,
  Invalid,
  TooLarge,
  NoConsent,
  Killed,
  BeforeSend,
  CallbackError,
  RefusedFull,
  Closed,
  QueueFull,
  StoreFull,
  StoreError,
  Expired,
  RetryExhausted,
  Rejected4xx,
  Rejected413,
  PurgedKill,
  ShutdownTimeout,
  Unconfirmed,
}

/** Reasons from here on concern admitted events (`post`). */
export const POST_FROM = 10;

export const REASONS =
  "sampled rate_limited invalid too_large no_consent killed before_send callback_error refused_full closed queue_full store_full store_error expired retry_exhausted rejected_4xx rejected_413 purged_kill shutdown_timeout unconfirmed".split(
    " ",
  );

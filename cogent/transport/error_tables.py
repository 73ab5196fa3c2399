"""What codes, words, statuses and exception classes of providers, SDKs and HTTP clients
mean; data, and no decisions.

`error_kinds.py` says in which order these tables are asked.
"""

from __future__ import annotations

import re

from cogent.errors import (
    AuthenticationError,
    BadRequest,
    ConnectionFailed,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ServerError,
    StreamInterrupted,
)


class FilterRefusal(BadRequest):
    """A filter of the provider's refused the prompt or the answer.

    It never reaches the user: it ends the run.
    """


# What a code or type means, whatever the HTTP status and whoever sends it: servers that
# are compatible with a provider, and gateways before it, send its codes too. What one
# provider alone sends is in its `ERROR_CODES`. Codes are compared by `_normal`.
BY_CODE: dict[str, type[ModelError]] = {
    "contextlengthexceeded": ContextTooLong,
    "contextwindowexceedederror": ContextTooLong,
    "exceedcontextsizeerror": ContextTooLong,
    "requesttoolarge": ContextTooLong,
    "stringabovemaxlength": ContextTooLong,
    "tokenstoolong": ContextTooLong,
    "invalidapikey": AuthenticationError,
    "authenticationerror": AuthenticationError,
    "permissionerror": PermissionDenied,
    "permissiondenied": PermissionDenied,
    "permissiondeniederror": PermissionDenied,
    "modelnotfound": ModelNotFound,
    "notfounderror": ModelNotFound,
    "ratelimiterror": RateLimited,
    "ratelimitexceeded": RateLimited,
    "toomanyrequests": RateLimited,
    "insufficientquota": RateLimited,
    "billingerror": RateLimited,
    "overloadederror": Overloaded,
    "engineoverloadederror": Overloaded,
    "serverisoverloaded": Overloaded,
    "slowdown": Overloaded,
    "toolusefailed": BadRequest,
    "cancelled": ServerError,  # by Google, with status 499
}
# The same for a refusal by a filter. OpenAI documents `invalid_prompt`, and the
# policies, as such refusals.
FILTER_CODES = {
    "contentfilter",
    "contentfiltered",
    "contentpolicy",
    "contentpolicyviolation",
    "contentpolicyviolationerror",
    "contentmoderation",
    "imagecontentpolicyviolation",
    "moderationblocked",
    "invalidprompt",
    "biopolicy",
    "cyberpolicy",
    "misalignmentpolicyviolation",
    "responsibleaipolicyviolation",
    "datainspectionfailed",
    "sensitivecontentdetected",
    "inputtextsensitivecontentdetected",
    "outputtextsensitivecontentdetected",
    "prohibitedcontent",
    "guardrailintervened",
    "1301",  # Zhipu
}
# OpenRouter says `invalid_prompt` of a request that has not the form that it expects.
PLAINLY_INVALID = re.compile(
    r"API request|schema|malformed|invalid[ _](type|value|input|union)", re.IGNORECASE
)
FILTER_WORDS = re.compile(
    r"content management policy|content filtering policy|content exists risk|inappropriate content"
    r"|datainspectionfailed|data_inspection_failed|contentpolicyviolation|content_policy_violation"
    r"|responsibleaipolicyviolation|violating our usage policy|violates usage guidelines"
    r"|limited access to this content for safety|rejected as a result of our safety|your input was flagged"
    r"|guardrail_intervened|(blocked by|violated)( the)? guardrail|blocked due to security configurations"
    r"|unsafe or sensitive content|不安全或敏感内容",
    re.IGNORECASE,
)
# The statuses with which a filter refuses.
ABOUT_THE_CONTENT = (None, 200, 400, 403, 422, 451)
# What the same means only where the HTTP status says nothing: with a status that is an
# error, that decides.
BY_GENERIC_CODE: dict[str, type[ModelError]] = {
    "servererror": ServerError,
    "internalservererror": ServerError,
    "internalerror": ServerError,
    "internal": ServerError,
    "apierror": ServerError,
    "timeouterror": ModelTimeout,
    "deadlineexceeded": ModelTimeout,
    "unavailable": Overloaded,
    "resourceexhausted": RateLimited,
    "unauthenticated": AuthenticationError,
    "notfound": ModelNotFound,
    "invalidrequesterror": BadRequest,
    "badrequesterror": BadRequest,
    "badrequest": BadRequest,
    "invalidargument": BadRequest,
    "failedprecondition": BadRequest,
}
TOO_LONG_WORDS = re.compile(
    r"maximum context length|context (window|size|length|limit)|(prompt|input) (tokens )?(is )?too long"
    r"|exceeds the maximum number of tokens|input tokens exceed|exceeded model token limit|exceeds? (the )?token limit"
    r"|maximum (prompt|model|input) length|longer than the maximum"
    r"|reduce the length of (the|your) (messages|prompt|input)"
    r"|range of input length|request_too_large|context_length_exceeded|contextwindowexceeded"
    r"|inputs` tokens \+ `max_new_tokens",
    re.IGNORECASE,
)
OVERLOADED_WORDS = re.compile(r"\boverloaded\b", re.IGNORECASE)
# Some servers refuse a key with the status and the code of any request that is wrong.
KEY_WORDS = re.compile(
    r"(incorrect|invalid) api key|api key (is )?(invalid|not valid|incorrect)",
    re.IGNORECASE,
)
# The headers in which servers name a request, the usual one first.
REQUEST_ID_HEADERS = (
    "x-request-id",
    "request-id",
    "mistral-correlation-id",
    "x-ds-trace-id",
)
# With another status, words of length mean something else.
ABOUT_THE_REQUEST = (None, 200, 400, 413, 422)
BY_STATUS: dict[int, type[ModelError]] = {
    401: AuthenticationError,
    403: PermissionDenied,
    404: ModelNotFound,
    408: ModelTimeout,
    413: ContextTooLong,
    429: RateLimited,
    503: Overloaded,
    504: ModelTimeout,
    529: Overloaded,
}
CONFLICT = 409  # asked again by the SDKs, so by this library too
# Class names of the SDKs (openai, anthropic, groq), of httpx and httpx2, and of aiohttp,
# which the Gemini SDK uses for clients of the user's; the nearest base class decides.
BY_CLASS: dict[str, type[ModelError]] = {
    "APITimeoutError": ModelTimeout,
    "APIConnectionError": ConnectionFailed,
    "APIResponseValidationError": ServerError,
    "TimeoutException": ModelTimeout,
    "RequestError": ConnectionFailed,
    "StreamError": StreamInterrupted,
    "SSLError": ConnectionFailed,
    "GoogleAuthError": AuthenticationError,
    "JSONDecodeError": ServerError,
    "UnicodeDecodeError": ServerError,
    "UnicodeEncodeError": BadRequest,
    "TypeError": BadRequest,
    "CredentialsError": AuthenticationError,
    "OpenAIError": BadRequest,
    "AnthropicError": BadRequest,
    "ConnectionError": ConnectionFailed,
    "ServerTimeoutError": ModelTimeout,
    "TimeoutError": ModelTimeout,
    "ClientConnectionError": ConnectionFailed,
    "ClientPayloadError": ConnectionFailed,
}
ONCE_STREAMING: dict[type[ModelError], type[ModelError]] = {
    ConnectionFailed: StreamInterrupted,
    BadRequest: ServerError,
}
# Asking again cannot help before somebody pays or the request changes.
NOT_RETRYABLE_CODES = {"insufficientquota", "billingerror", "stringabovemaxlength"}
CONNECT_TIMEOUTS = {"ConnectTimeout", "ConnectionTimeoutError"}
# What stands between client and server, and what a server says that has no such path.
NO_CONNECTION = {
    "ClientConnectorError",
    "ConnectError",
    "ConnectTimeout",
    "ProxyError",
    "ConnectionRefusedError",
    "UnsupportedProtocol",
}
NO_SUCH_PATH = re.compile(
    r"not found|cannot (post|get)|no route|no such (path|route|page)|(method )?not allowed|invalid url"
    r"|unknown (path|url|route|request url|endpoint)|the provider gave no reason",
    re.IGNORECASE,
)
NO_MORE_THAN_NOT_FOUND = re.compile(
    r"(404 )?not found[.!]?|the provider gave no reason", re.IGNORECASE
)
WRONG_PATH = (404, 405)
SECURE = re.compile(r"\bSSL\b|certificate", re.IGNORECASE)
CLOSED = re.compile(r"disconnected|closed", re.IGNORECASE)
# What the SDKs say of every such error.
SAY_NOTHING = ("Connection error.", "Request timed out.")
# What answers instead of a provider may send a whole page.
MAX_MESSAGE_CHARS = 1000

"""What a token server that does not give a token means: wrong credentials only when it says so."""

import asyncio

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from meshline_dagster.core.documents import Outcome
from meshline_dagster.core.errors import AuthError, RateLimitedError, TransientError
from meshline_dagster.erp.configured import ConfiguredErpWriter
from meshline_dagster.erp.configured_auth import OAuthClient
from meshline_dagster.erp.configured_model import ErpApi
from meshline_dagster.sandbox.serve import serve
from tests.integration.erp.test_configured_answers import FIRST, TOLD

TOKEN = {"access_token": "good", "expires_in": 3600}


def token_of(response):
    """What the client makes of one answer of the token server."""

    async def answer(_):
        return response

    with serve(Starlette(routes=[Route("/token", answer, methods=["POST"])])) as url:
        return asyncio.run(OAuthClient(f"{url}/token", "us", SecretStr("hush")).headers())


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (JSONResponse({"error": "invalid_client"}, 401), AuthError),
        (JSONResponse({"error": "invalid_grant"}, 400), AuthError),
        (JSONResponse({}, 403), AuthError),
        (JSONResponse({}, 404), AuthError),
        (JSONResponse({"error": "slow_down"}, 429, headers={"Retry-After": "7"}), RateLimitedError),
        (HTMLResponse("<html>", 429), RateLimitedError),
        (JSONResponse({}, 408), TransientError),
        (JSONResponse({}, 425), TransientError),
        (JSONResponse({"error": "temporarily_unavailable"}, 400), TransientError),
        (JSONResponse({}, 500), TransientError),
        (HTMLResponse("<html>", 502), TransientError),
        (JSONResponse({}, 503), TransientError),
        (HTMLResponse("<html>"), TransientError),
        (JSONResponse({}, 302), TransientError),
    ],
)
def test_only_a_refusal_means_that_the_credentials_are_wrong(response, error):
    with pytest.raises(error) as raised:
        token_of(response)
    assert isinstance(raised.value, AuthError) is (error is AuthError)
    assert "hush" not in str(raised.value)
    if response.headers.get("retry-after"):
        assert raised.value.retry_after == 7


@pytest.mark.parametrize("expires_in", [3600, "3600", None, "soon", {}, -1, "missing"])
def test_a_token_is_taken_whatever_it_says_of_its_end(expires_in):
    body = {**TOKEN, "expires_in": expires_in}
    if expires_in == "missing":
        del body["expires_in"]
    assert token_of(JSONResponse(body)) == {"Authorization": "Bearer good"}


def test_a_busy_token_server_is_not_now_for_as_long_as_it_says():
    async def token(_):
        return JSONResponse({}, 429, headers={"Retry-After": "7"})

    async def post(writer):
        writer._session.connect()  # without the question for the company, which needs a token, too
        try:
            return await writer.post([FIRST])
        finally:
            await writer.aclose()

    with serve(Starlette(routes=[Route("/token", token, methods=["POST"])])) as url:
        auth = OAuthClient(f"{url}/token", "us", SecretStr("hush"))
        writer = ConfiguredErpWriter(url, ErpApi.model_validate(TOLD), auth, name="told", company="1")
        [answer] = asyncio.run(post(writer))
    assert (answer.outcome, answer.retry_after) == (Outcome.RETRY, 7)

"""Values in boto3 and botocore, which get the right one.

Apart from the other libraries: botocore refuses the python-dateutil that kubernetes asks for from
37.0.2, so that the two may need environments of their own.
"""

from __future__ import annotations

from pathlib import Path

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from kfsecrets_ext.values import SecretStr

KEY = "p@ss:w/ord?&=#%41+'q\""


def signed(secret: str) -> dict[str, str]:
    credentials = botocore.credentials.Credentials("AKIA", secret, token=None)
    request = botocore.awsrequest.AWSRequest("GET", "https://s3.amazonaws.com/x", {}, b"")
    request.context["timestamp"] = "20261124T000000Z"
    signer = botocore.auth.SigV4Auth(credentials, "s3", "us-east-1")
    text = signer.canonical_request(request)
    return {"signature": signer.signature(signer.string_to_sign(request, text), request)}


def test_botocore_signature() -> None:
    assert signed(SecretStr(KEY)) == signed(KEY)
    assert signed(SecretStr(KEY)) != signed("other")


@pytest.mark.filterwarnings("ignore:Boto3 will no longer support Python")
def test_boto3_presigned_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    session = boto3.Session(
        aws_access_key_id=SecretStr("AKIAEXAMPLE"),
        aws_secret_access_key=SecretStr(KEY),
        region_name="us-east-1",
    )
    frozen = session.get_credentials().get_frozen_credentials()
    assert (frozen.access_key, frozen.secret_key) == ("AKIAEXAMPLE", KEY)
    client = session.client("s3")
    address = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    client.close()
    assert "AKIAEXAMPLE" in address

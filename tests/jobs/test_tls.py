"""One block over TLS with a certificate of its own, and nothing without it."""

import datetime
import logging
from pathlib import Path

import pytest
from block_jobs import CLUSTER, open_blocks, results

from deepnets4eo.jobs.blocks import BlockWork, Receipt
from deepnets4eo.jobs.dask_cluster import DaskCluster, check_address

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install deepnets4eo[dask]")
pytest.importorskip("cryptography", reason="cryptography, which makes the certificate, is not installed")


def certificate(folder: Path) -> str:
    """A file with a key and a certificate that it signed itself, for this computer."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")]),
    )
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = folder / "test.pem"
    path.write_bytes(text + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return str(path)


def test_a_block_goes_over_tls(tmp_path: Path) -> None:
    import dask

    path = certificate(tmp_path)
    whose = [f"{role}.{what}" for role in ("scheduler", "worker", "client") for what in ("key", "cert")]
    tls = {f"distributed.comm.tls.{name}": path for name in ("ca-file", *whose)}
    with (
        dask.config.set(CLUSTER | tls),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tls://", host="127.0.0.1",
            security=distributed.Security(require_encryption=True), dashboard_address=None, silence_logs=logging.CRITICAL,
        ) as cluster,
    ):  # fmt: skip
        address = check_address(cluster.scheduler_address)
        assert address.startswith("tls://")
        with DaskCluster(address) as pool:
            assert list(pool.run(BlockWork(open_blocks, (tmp_path, {})), ["one"])) == [Receipt("one")]
    assert results(tmp_path) == {"one": "result of one"}

"""A certificate authority of our own, made anew for each server: devices are given its root as DER, clients as PEM."""

import ssl
from pathlib import Path

import trustme


class Authority:
    """folder: gets ca.pem and roots/emulated_cloud.der; hosts: the names that the certificate is good for."""

    def __init__(self, folder, hosts=("localhost", "127.0.0.1", "::1")):
        self.folder = Path(folder)
        self.pem = self.folder / "ca.pem"
        self.der_folder = self.folder / "roots"
        self.der_folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.pem))
        der = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
        (self.der_folder / "emulated_cloud.der").write_bytes(der)
        self._certificate = authority.issue_cert(*hosts)

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate.configure_cert(context)
        return context

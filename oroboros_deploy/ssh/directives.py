"""Which ssh_config keywords are followed, which do not matter here, and which are refused.

A keyword that changes who is trusted, how a host is reached or who logs in is
either followed or refused by name; only what has no meaning for running a
deployment is passed over.  ``ForwardAgent`` is passed over on purpose: an agent
is never forwarded to a host that runs other people's build scripts.
docs/ssh.md has the same lists.
"""

from __future__ import annotations

from .answer import Answer

# ssh itself has done what these say when it answers.
_BY_SSH = """
    CanonicalDomains CanonicalizeFallbackLocal CanonicalizeHostname CanonicalizeMaxDots CanonicalizePermittedCNAMEs
    Host HostName IgnoreUnknown Include Match Tag
"""

_FOLLOWED = """
    AddressFamily CertificateFile Ciphers ConnectTimeout GlobalKnownHostsFile HashKnownHosts HostKeyAlgorithms
    HostKeyAlias IdentitiesOnly IdentityAgent IdentityFile KbdInteractiveAuthentication KexAlgorithms MACs
    PasswordAuthentication
    Port PreferredAuthentications ProxyCommand ProxyJump PubkeyAcceptedAlgorithms PubkeyAuthentication RequiredRSASize
    ServerAliveCountMax ServerAliveInterval StrictHostKeyChecking User UserKnownHostsFile
"""

# Terminals, forwardings, multiplexing, logging, and methods that are simply never tried.
_PASSED_OVER = """
    AddKeysToAgent BatchMode CASignatureAlgorithms ChannelTimeout CheckHostIP ClearAllForwardings Compression
    ConnectionAttempts ControlMaster ControlPath ControlPersist DynamicForward EnableEscapeCommandline
    EnableSSHKeysign EscapeChar ExitOnForwardFailure FingerprintHash ForwardAgent ForwardX11 ForwardX11Timeout
    ForwardX11Trusted GatewayPorts GSSAPIAuthentication GSSAPIClientIdentity GSSAPIDelegateCredentials
    GSSAPIKexAlgorithms GSSAPIKeyExchange GSSAPIRenewalForcesRekey GSSAPIServerIdentity GSSAPITrustDNS
    HostbasedAcceptedAlgorithms IPQoS LocalCommand LocalForward LogLevel LogVerbose NumberOfPasswordPrompts
    ObscureKeystrokeTiming PermitRemoteOpen RekeyLimit RemoteForward RequestTTY SendEnv SetEnv StreamLocalBindMask
    StreamLocalBindUnlink SyslogFacility TCPKeepAlive Tunnel TunnelDevice UpdateHostKeys UseKeychain VersionAddendum
    VisualHostKey WarnWeakCrypto XAuthLocation
"""

# The values named here say "do not", which is what happens anyway.
REFUSED = {
    "BindAddress": (),
    "BindInterface": (),
    "ForkAfterAuthentication": ("no",),
    "HostbasedAuthentication": ("no",),
    "KnownHostsCommand": ("none",),
    "NoHostAuthenticationForLocalhost": ("no",),
    "PermitLocalCommand": ("no",),
    "PKCS11Provider": ("none",),
    "ProxyUseFdpass": ("no",),
    "RefuseConnection": (),
    "RemoteCommand": ("none",),
    "RevokedHostKeys": ("none",),
    "SecurityKeyProvider": ("none", "internal"),
    "SessionType": ("default",),
    "StdinNull": ("no",),
    "VerifyHostKeyDNS": ("no", "false"),
}

BY_SSH, FOLLOWED, PASSED_OVER = (frozenset(names.split()) for names in (_BY_SSH, _FOLLOWED, _PASSED_OVER))
_HARMLESS = {keyword.lower() for keyword in BY_SSH | FOLLOWED | PASSED_OVER}
_REFUSED = {keyword.lower(): keyword for keyword in REFUSED}


def check(answer: Answer) -> None:
    """Raise ConfigError for the first setting that can be neither followed nor ignored."""
    for keyword in answer.values:
        if keyword in _HARMLESS or not answer.is_set(keyword):
            continue
        name = _REFUSED.get(keyword)
        if name is None:
            raise answer.error(keyword, "this keyword is not known here, and ignoring it may not be safe")
        if any(value.lower() not in REFUSED[name] for value in answer.all(keyword)):
            raise answer.error(name, "this is not supported here, and ignoring it would not be safe")

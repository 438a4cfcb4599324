# README.rst tells what each is for; the names are those of ironic-python-agent-builder.
export DIB_IPA_CERT_FILE=${DIB_IPA_CERT_FILE:-}
export DIB_IPA_KEY_FILE=${DIB_IPA_KEY_FILE:-}
export DIB_IPA_CA_FILE=${DIB_IPA_CA_FILE:-}
export DIB_IPA_CERT_HOSTNAME=${DIB_IPA_CERT_HOSTNAME:-ipa-ramdisk.example.com}
export DIB_IPA_CERT_EXPIRATION=${DIB_IPA_CERT_EXPIRATION:-1095}

# Settings of ironic-agent-ramdisk; README.rst tells what each is for. Names that begin with DIB_IPA_ or IPA_ are those of
# ironic-python-agent-builder.
export DIB_IRONIC_AGENT_BINARY=${DIB_IRONIC_AGENT_BINARY:-}
export DIB_IPA_CERT=${DIB_IPA_CERT:-}
export DIB_IPA_ENABLE_RESCUE=${DIB_IPA_ENABLE_RESCUE:-true}
export DIB_IPA_COMPRESS_CMD=${DIB_IPA_COMPRESS_CMD:-zstd -T0 -9 --quiet --stdout}
export DIB_IPA_MINIMAL_PRUNE=${DIB_IPA_MINIMAL_PRUNE:-0}
export DIB_IPA_TRIM_MODULES=${DIB_IPA_TRIM_MODULES:-true}
export IPA_REMOVE_FIRMWARE=${IPA_REMOVE_FIRMWARE:-amdgpu,radeon,nvidia,i915,xe,qcom,ti-communication,ti-keystone,ti-connectivity,ueagle-atm,rsi,mrvl,brcm,mediatek,ath3k,ath6k,ath9k,ath10k,ath11k,ath12k,rtlwifi,rtl_bt,rtw88,rtw89,libertas,s5p-mfc,cirrus,dvb,v4l,mwl8k,mwlwifi,cypress,atmel,vicam,iwlwifi,intel/ibt,intel/dsp,intel/avs}
# Debian keeps the firmware of many network cards apart. Without "non-free-firmware" in the components none is installed.
export IPA_DEBIAN_NONFREE=false
if [[ " ${IMAGE_ELEMENT:-} " == *" debian-minimal "* ]]; then
    export DIB_DEBIAN_COMPONENTS=${DIB_DEBIAN_COMPONENTS:-main,non-free-firmware}
    case $DIB_DEBIAN_COMPONENTS in
        *non-free*) export IPA_DEBIAN_NONFREE=true ;;
    esac
fi
# The network is set up by the element's own files; and nobody boots the initramfs that the kernel's package would make.
export DIB_APT_MINIMAL_CREATE_INTERFACES=${DIB_APT_MINIMAL_CREATE_INTERFACES:-0}
export INITRD=${INITRD:-No}

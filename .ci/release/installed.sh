# What an image has installed, for sbom.ts --image: runs in the image.
. /etc/os-release
echo "distribution $ID $VERSION_ID"
echo "node $(node --version)"
dpkg-query --show --showformat 'package ${Package} ${Version} ${Architecture}\n'

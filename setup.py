"""What pyproject.toml cannot say: packages that are elsewhere in the clone than when installed."""

from setuptools import find_packages, setup

#: Folders of the clone, by the package that they become: what messages point to, what
#: `micropub-bridge demo` copies, and what Pelican finds by itself.
PACKAGE_DIRS = {
    "bridge.docs": "docs",
    "bridge.sample_site": "sample_site",
    "pelican.plugins.indieauth": "namespace/pelican/plugins/indieauth",
}

setup(
    packages=[*find_packages(include=["bridge*", "pelican_indieauth*"]), *PACKAGE_DIRS],
    package_dir=PACKAGE_DIRS,
    package_data={
        "bridge": ["py.typed"],
        "bridge.store": ["*.sh"],
        "bridge.docs": ["**/*"],
        "bridge.pages": ["templates/**/*", "static/**/*", "locale/**/*"],
        "bridge.sample_site": ["**/*", "**/.*"],
        "pelican_indieauth": ["py.typed", "templates/**/*"],
    },
    exclude_package_data={"bridge.sample_site": ["output/**/*", "**/__pycache__/*"]},
)

"""Answers about custom images."""

import base64
from typing import Any

from common.errors import WrongUsage
from common.verbs import BlobName
from common.vocabulary import Question
from regiond.admin.asked import Tell, number
from regiond.custom_images import CustomImages, Wanted


class CustomImageAnswers:
    """What is answered about custom images."""

    def __init__(self, custom_images: CustomImages) -> None:
        self._custom_images = custom_images

    async def boot_resources_create(self, question: Question, _: Tell) -> Any:
        given = question.parameters
        wanted = Wanted(
            name=str(given["name"]),
            architecture=str(given["architecture"]),
            filetype=str(given.get("filetype", "tgz")),
            title=str(given.get("title", "")),
            base_image=str(given.get("base_image", "")),
        )
        if "check" in question.flags:
            return await self._custom_images.check(wanted)
        if "content" not in given:
            raise WrongUsage("missing: content@=", object="content", code="missing-parameter")
        return await self._custom_images.create(wanted, BlobName.parse(str(given["content"])))

    async def boot_resource_check_network(self, question: Question, _: Tell) -> Any:
        config = base64.b64decode(str(question.parameters["config"]))
        return await self._custom_images.check_network(number(question, 0), config)
